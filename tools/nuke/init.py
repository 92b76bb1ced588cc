# Nuke runs this at start-up, in terminal sessions too, where this folder is on NUKE_PATH or added with nuke.pluginAddPath.
# Models in the folder `models` beside this file are found without further ado.

import os

_models = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'models')
if os.path.isdir(_models):
    _folders = [f for f in os.environ.get('ROTO_MODEL_PATH', '').split(os.pathsep) if f]
    if _models not in _folders:
        os.environ['ROTO_MODEL_PATH'] = os.pathsep.join(_folders + [_models])
