"""Renders a mask through Blender's compositor: blender --background --factory-startup --python render_blender.py --
MASK.py TIMES FOLDER FRAME...

MASK.py is an export of `roto export --to blender`.  Pictures are TIMES as large as the plate, 8 bits grey, FOLDER/FRAME.png."""

import runpy
import sys

import bpy


def render(mask, width, height, times, folder, frames, feather=False):
    scene = bpy.context.scene
    scene.render.engine = 'BLENDER_WORKBENCH'
    scene.render.resolution_x, scene.render.resolution_y = width * times, height * times
    scene.render.resolution_percentage, scene.render.dither_intensity = 100, 0
    scene.view_settings.view_transform = 'Raw'  # else the values are changed for the eye
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    node = tree.nodes.new('CompositorNodeMask')
    node.mask, node.size_source, node.use_feather = mask, 'FIXED', feather
    node.size_x, node.size_y = width * times, height * times
    out = tree.nodes.new('CompositorNodeComposite')
    tree.links.new(node.outputs['Mask'], out.inputs['Image'])
    image = scene.render.image_settings
    image.file_format, image.color_mode, image.color_depth, image.compression = 'PNG', 'BW', '8', 1
    for frame in frames:  # as animation: what an artist renders
        scene.frame_start = scene.frame_end = frame
        scene.render.filepath = folder + '/####.png'
        bpy.ops.render.render(animation=True)


if __name__ == '__main__':
    path, times, folder, *numbers = sys.argv[sys.argv.index('--') + 1:]
    script = runpy.run_path(path)
    mask = script['build']()
    feathered = any(v[6] for shape in script['SHOT']['shapes'] for _, key in shape['keys'] for v in key)
    render(mask, script['SHOT']['width'], script['SHOT']['height'], int(times), folder, [int(n) for n in numbers], feathered)
