# Nuke runs this at start-up where there is a user interface.

import nuke

nuke.menu('Nodes').addMenu('roto').addCommand('FeatureDetect', 'import feature_detect; feature_detect.create()')
