"""How sharp a picture is: the variance of its Laplacian.

A measure of focus (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000): edges give large second derivatives, blur
gives small ones. It depends on the subject too, so it compares pictures of one scene, such as a burst.
"""

import numpy as np

from agents.photo.decode import Picture

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def sharpness(picture: Picture) -> float:
    """In squared levels of grey (0 to 255), 0 for a picture of one colour. Comparable between pictures of about one size.

    Of the 4-neighbour Laplacian, without the outermost pixels; a picture that has no others has 0.
    """
    grey = picture.pixels @ _LUMA
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(laplacian.var(dtype=np.float64))
