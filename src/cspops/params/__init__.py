"""params.yaml: the only thing that may change a result, checked as a whole before anything is computed.

`load` returns frozen models; a wrong key or value raises one ParamsError that names each key, its value, the choices and
the nearest spelling. `view` returns the part that one stage may read.
"""

from cspops.params.graph import VIEWS, DownloadView, PretrainView, recorded, unchosen, value_at, view
from cspops.params.reading import TEMPLATE, completed, default_params, load, parse, with_values
from cspops.params.sections import Params

__all__ = [
    "TEMPLATE",
    "VIEWS",
    "DownloadView",
    "Params",
    "PretrainView",
    "completed",
    "default_params",
    "load",
    "parse",
    "recorded",
    "unchosen",
    "value_at",
    "view",
    "with_values",
]
