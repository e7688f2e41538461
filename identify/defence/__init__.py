"""What defences do to the verdict and to the error bars: an audit by the owner of the data."""
