"""Whether a chart, by the functions it can call, gives the same result whenever and wherever it is rendered.

Helm runs what lies in ``templates/`` of a chart and its subcharts, and texts that ``tpl`` is given. In a template the
name of a function stands as it is, so that one whose name is nowhere in these files is not called. A name in a comment
or in plain text only makes the caller look closer.
"""

from __future__ import annotations

import re
from pathlib import Path

# What reads the cluster, the clock or the network, is random, or gives the order that a map of Go happens to have;
# and ``tpl``, which runs any of them by a name that is put together first. (Helm: pkg/engine/funcs.go; sprig:
# functions.go.)
_FUNCTIONS = re.compile(
    rb"\b(?:lookup|tpl|getHostByName"
    rb"|now|ago|\w*[dD]ate\w*|duration\w*|unixEpoch"
    rb"|rand\w*|shuffle|uuid\w*|gen[A-Z]\w*|buildCustomCert|bcrypt|htpasswd|encrypt\w*"
    rb")\b"
    # Words of every day, and functions only between a pipe and their argument.
    rb"|\|\s*(?:keys|values)\b|\b(?:keys|values)\s*[.$(]"
)


def is_reproducible(chart: Path) -> bool:
    """Whether no template of the chart names a function that may give another result another time.

    False for a chart with packed subcharts or symlinks, too: it is not for us to read these exactly as Helm does.
    """
    if chart.is_symlink() or any(path.is_symlink() for path in chart.rglob("*")):
        return False
    files = [path for path in chart.rglob("*") if path.is_file()]
    templates = (path for path in files if "templates" in path.relative_to(chart).parts)
    packed = any(path.suffix.lower() == ".tgz" for path in files)
    return not packed and not any(_FUNCTIONS.search(path.read_bytes()) for path in templates)
