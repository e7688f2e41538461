"""The effect of defences on the verdict and on the error bars: an audit by the owner of the data."""
