# Makes a mask of SHOT: run this file in Blender's text editor, with `blender --background --python FILE -- SHOT.blend`, which saves
# it, or `runpy.run_path(file)['build']()`.  Blender 3.4 and 4.x.
#
# One mask layer a shape.  Mask shapes can be keyed only through the operator, so an area is borrowed for it.  Blender fills a
# spline that runs counter-clockwise exactly and feathers a clockwise one outwards: splines are turned to suit.

import json
import os
import sys

import bpy


def to_mask(shot, x, y):
    """Pixels of the plate, y down, to the square that Blender centres on the frame."""
    width, height = shot['width'], shot['height']
    side = max(width, height)
    return (x + (side - width) / 2) / side, (height - y + (side - height) / 2) / side


def outline(shot, vertices, turn):
    """[(place, handle before, handle after, feather)] in mask space."""
    side = max(shot['width'], shot['height'])
    points = []
    for x, y, ix, iy, ox, oy, feather in vertices:
        points.append([to_mask(shot, x, y), to_mask(shot, x + ix, y + iy), to_mask(shot, x + ox, y + oy), max(feather, 0) / side])
    return [[p, after, before, w] for p, before, after, w in reversed(points)] if turn else points


def is_clockwise(vertices):
    """As seen on the screen, of the polygon of places and handles."""
    polygon = []
    for x, y, ix, iy, ox, oy, _ in vertices:
        polygon += [(x + ix, y + iy), (x, y), (x + ox, y + oy)]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1])) > 0


def borrow_area(mask):
    """An area that edits the mask, how to override the context with it, and how to give it back.  One that can edit masks is taken as
    it is; of the others not that in which an artist pressed the button: to change its type frees what Blender still uses."""
    window = bpy.context.window_manager.windows[0]
    area = min(window.screen.areas, key=lambda a: (a.type not in ('IMAGE_EDITOR', 'CLIP_EDITOR'), a == bpy.context.area))
    kind = area.type
    if kind not in ('IMAGE_EDITOR', 'CLIP_EDITOR'):
        area.type = 'IMAGE_EDITOR'
    space = area.spaces.active
    before = space.mode, space.mask
    space.mode, space.mask = 'MASK', mask
    region = [r for r in area.regions if r.type == 'WINDOW'][0]

    def give_back():
        space.mask, space.mode = before[1], before[0]
        if area.type != kind:
            area.type = kind

    return dict(window=window, screen=window.screen, area=area, region=region), give_back


def add_layer(mask, shot, data, override, offset):
    """Whether the layer's spline was turned round."""
    scene = bpy.context.scene
    feathered = any(v[6] > 0 for _, vertices in data['keys'] for v in vertices)
    votes = sum(1 if is_clockwise(vertices) else -1 for _, vertices in data['keys'])
    turn = bool(data['closed']) and (votes > 0) != feathered
    for other in mask.layers:
        other.hide = other.hide_select = True
    layer = mask.layers.new(name=data['name'])
    spline = layer.splines.new()
    spline.points.add(len(data['keys'][0][1]) - 1)
    spline.use_cyclic = bool(data['closed'])
    spline.use_fill = bool(data['closed'])
    for frame, vertices in data['keys']:
        scene.frame_set(frame + offset)
        for point, (place, before, after, feather) in zip(spline.points, outline(shot, vertices, turn)):
            point.handle_type = 'FREE'
            point.co, point.handle_left, point.handle_right, point.weight = place, before, after, feather
            point.select = True
        with bpy.context.temp_override(**override):
            if bpy.ops.mask.shape_key_insert() != {'FINISHED'}:
                raise RuntimeError('Blender refused a mask key of %s at frame %d' % (data['name'], frame))
    for frame, seen in data['seen']:
        layer.alpha = seen
        layer.keyframe_insert('alpha', frame=frame + offset)
    return turn


def build(shot=None, name=None, offset=0):
    """The mask; frame F of the plate is frame F + offset of the scene."""
    shot = shot or SHOT
    scene = bpy.context.scene
    now = scene.frame_current
    mask = bpy.data.masks.new(name or shot['name'])
    mask.use_fake_user = True
    mask.frame_start, mask.frame_end = shot['first'] + offset, shot['last'] + offset
    override, give_back = borrow_area(mask)
    try:
        turned = [data['name'] for data in shot['shapes'] if add_layer(mask, shot, data, override, offset)]
        mask['roto_turned'] = json.dumps(turned)  # for who reads the mask back
    finally:
        for layer in mask.layers:
            layer.hide = layer.hide_select = False
        give_back()
    if mask.animation_data and mask.animation_data.action:
        for curve in mask.animation_data.action.fcurves:
            for key in curve.keyframe_points:
                key.interpolation = 'CONSTANT'
    scene.frame_set(now)
    return mask


if __name__ == '__main__':
    build()
    if '--' in sys.argv[:-1]:
        bpy.context.scene.frame_start, bpy.context.scene.frame_end = SHOT['first'], SHOT['last']
        bpy.ops.wm.save_as_mainfile(filepath=os.path.abspath(sys.argv[sys.argv.index('--') + 1]))
