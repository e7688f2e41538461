"""Structural similarity of pictures, and the shape of a vector as a picture. Floating point."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from jaxtyping import Float
from scipy.ndimage import correlate1d

from identify.attacks.similarity import image_rows
from identify.base.errors import InputError
from identify.base.options import positive, whole
from identify.problem.arrays import ShapeError


@dataclass(frozen=True)
class ImageShape:
    """The shape of a vector of d = height × width × channels numbers as a picture: channels last, unless ``channels_first``."""

    height: int
    width: int
    channels: int = 1
    channels_first: bool = False

    def __post_init__(self) -> None:
        for side in ("height", "width", "channels"):
            object.__setattr__(self, side, whole(f"shape: {side}", getattr(self, side), error=ShapeError))

    @classmethod
    def of(cls, d: int) -> ImageShape | None:
        """The shape that d suggests: a square is grey, three times a square is a colour picture, None for anything else.

        No d is both. The position of the channels does not follow from d: it is assumed to be last.
        """
        for channels in (1, 3):
            side = isqrt(max(d, 0) // channels)
            if side and side * side * channels == d:
                return cls(side, side, channels)
        return None

    @classmethod
    def read(cls, shape: ImageShape | tuple[int, ...], d: int) -> ImageShape:
        """``shape`` as an ImageShape, checked against d. Raises ShapeError when it does not hold d numbers."""
        if not isinstance(shape, ImageShape):
            if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
                raise ShapeError(f"shape: received {shape!r}, expected (height, width, channels) or an ImageShape")
            shape = cls(shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
        if shape.height * shape.width * shape.channels != d:
            raise ShapeError(f"shape: received {shape}, expected height × width × channels = {d}, the length of an image")
        return shape

    def holds(self, window: int) -> bool:
        """Whether a square window of that side fits."""
        return window <= min(self.height, self.width)

    def check_window(self, window: int) -> None:
        if not self.holds(window):
            raise InputError(
                f"window: received {window} pixels, expected at most the smaller side of the {self.height} × {self.width} "
                "images; give a smaller window, or leave SSIM out"
            )

    def planes(self, rows: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k channels height width"]:
        """The channels of each row as pictures."""
        if self.channels_first:
            return rows.reshape(-1, self.channels, self.height, self.width)
        return np.moveaxis(rows.reshape(-1, self.height, self.width, self.channels), 3, 1)


def _local_mean(planes: Float[np.ndarray, "*k height width"], window: int) -> np.ndarray:
    """Means under a Gaussian window, sigma = 1.5 pixels, at the places where the whole window lies inside the picture."""
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    half = window // 2
    for axis in (-2, -1):
        planes = correlate1d(planes, weights / weights.sum(), axis=axis)
    return planes[..., half : planes.shape[-2] - half, half : planes.shape[-1] - half]


def check_ssim(window: int, data_range: float) -> None:
    if whole("window", window, least=3) % 2 == 0:
        raise InputError(f"window: received {window!r}, expected an odd number of pixels, at least 3")
    positive("data_range", data_range, advice=": the range of the pixels, such as 1.0 or 255")


def paired_ssim(
    candidates: Float[np.ndarray, "k d"], images: Float[np.ndarray, "k d"], shape: ImageShape, window: int, data_range: float
) -> Float[np.ndarray, " k"]:
    """SSIM row by row; one row of images serves all candidates."""

    def moments(rows):
        with np.errstate(over="ignore"):
            planes = shape.planes(np.clip(rows / data_range, -1e70, 1e70))  # so that squares do not overflow
        means = _local_mean(planes, window)
        return planes, means, np.maximum(_local_mean(planes**2, window) - means**2, 0)

    x, mean_x, variance_x = moments(candidates)
    y, mean_y, variance_y = moments(images)
    bound = np.sqrt(variance_x) * np.sqrt(variance_y)
    # Rounding errors of pixels far outside the range would exceed the bound of Cauchy and Schwarz.
    covariance = np.clip(_local_mean(x * y, window) - mean_x * mean_y, -bound, bound)
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_x + variance_y + 0.03**2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def ssim(
    candidates: Float[np.ndarray, "m d"],
    images: Float[np.ndarray, "n d"],
    *,
    shape: ImageShape | tuple[int, ...] | None = None,
    window: int = 3,
    data_range: float = 1.0,
) -> Float[np.ndarray, "m n"]:
    r"""Mean structural similarity of every candidate with every image, in [-1, 1].

    The mean, over channels and places of the window, of

    .. math:: \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}{(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)},
        \qquad C_1 = (0.01 L)^2,\; C_2 = (0.03 L)^2,

    with means, variances and covariance under a Gaussian window.

    Parameters
    ----------
    candidates, images
        Pixel values, one picture per row; values outside the data range are not clipped.
    shape
        ``(height, width, channels)``, channels last, or an :class:`ImageShape`; None reads it from d.
    window
        Side of the Gaussian window, sigma 1.5 pixels, in pixels: odd, at least 3. 3 is that of the published attacks,
        11 that of the reference. The window stays inside the picture.
    data_range
        L, the range of the pixels: 1 for pixels in [0, 1].

    Raises
    ------
    ShapeError, ValueError
        For arrays, shapes or windows that do not fit, or when d suggests no shape.

    Notes
    -----
    Cost O(m n d window), memory O(m d).

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    check_ssim(window, data_range)
    X = image_rows("candidates", candidates)
    d = X.shape[1]
    Y = image_rows("images", images, d)
    pictures = ImageShape.of(d) if shape is None else ImageShape.read(shape, d)
    if pictures is None:
        raise ShapeError(f"shape: {d} numbers are neither a square nor three times a square; give (height, width, channels)")
    pictures.check_window(window)
    return np.stack([paired_ssim(X, y[None], pictures, window, data_range) for y in Y], axis=1)
