"""Questions about one dense layer alone: behind a known map of one sample, or behind a softmax loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from identify.problem.features import FeatureSystem
from identify.problem.heads import HeadSystem


class OneLayer:
    """Their constructors, beside those of :class:`identify.KKTSystem`."""

    @staticmethod
    def features(
        phi: Callable[[Any], Any],
        shape: int | Sequence[int],
        *,
        W: ArrayLike,
        bias: ArrayLike | None = None,
        box: Sequence[float] | None = None,
        smoothed: Iterable[Callable[[Any], Any]] = (),
    ) -> FeatureSystem:
        r"""The gradient of a dense layer behind a *known* map of one sample: :math:`G = \sum_i u_i\,(\varphi(x_i), 1)^\top`.

        Parameters
        ----------
        phi
            What comes before the layer, as a function of JAX from one sample to its features, of any shape; they are flattened in
            row-major order. Convolutions, average pooling, normalisation within a sample, residual blocks, frozen extractors. Not
            batch normalisation in training mode, which mixes samples.
        shape
            Of one sample, such as ``(1, 28, 28)``.
        W, bias
            *Minus* the gradient of that layer: shapes (outputs, features) and (outputs,); None for a bias that was not observed.
        box
            The smallest and the largest number that an entry of a sample can have, such as (0, 1) for pixels, if known: random starts are
            drawn from it.
        smoothed
            Smooth maps that approach ``phi``, from far to near, for one that has too many kinks to be searched as it is (max pooling):
            each descent goes through them in turn.

        Returns
        -------
        FeatureSystem
            For :func:`identify.recover` only: the other verbs refuse it with :class:`UnsupportedError`.

        Raises
        ------
        ShapeError
            For shapes that do not fit, values that are not finite, or an update of zeros.
        WrongTypeError
            If ``phi`` is not callable.

        Examples
        --------
        >>> import numpy as np
        >>> from identify import KKTSystem
        >>> KKTSystem.features(np.tanh, 3, W=np.ones((2, 3)))
        FeatureSystem(6 equations from W of a dense layer 3-2, behind a map of samples of shape (3,))
        """
        return FeatureSystem(phi, shape, W, bias, box, smoothed)

    @staticmethod
    def linear_head(weights: ArrayLike, biases: ArrayLike | None = None, *, W: ArrayLike, bias: ArrayLike | None = None) -> HeadSystem:
        r"""The gradient of one dense layer behind a softmax loss: :math:`G = \sum_i \omega_i (e_{y_i} - p_i) \tilde h_i^\top`.

        Parameters
        ----------
        weights, biases
            A (classes, features) and b (classes,) of the layer, such as a head on embeddings; None for a layer without biases.
        W, bias
            *Minus* the gradient by them; None for a bias that was not observed.

        Returns
        -------
        HeadSystem
            For :func:`identify.recover`, whose samples are the features, and :func:`identify.check`.

        Raises
        ------
        ShapeError, InputError
            For shapes that do not fit, values that are not finite, an update of zeros, or one class only.

        Examples
        --------
        >>> import numpy as np
        >>> from identify import KKTSystem
        >>> KKTSystem.linear_head(np.eye(3), W=np.eye(3) - 1 / 3)
        HeadSystem(9 equations from W of a dense layer 3-3 behind a softmax loss)
        """
        return HeadSystem(weights, biases, W, bias)
