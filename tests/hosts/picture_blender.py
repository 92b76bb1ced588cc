"""The picture of docs/artist.md: xvfb-run -s '-screen 0 1440x900x24' blender --enable-event-simulate --factory-startup
--window-geometry 0 0 1440 900 EMPTY.blend --python picture_blender.py -- ADDON.py SHOT OUT.png

SHOT is a folder of `roto-train demo`, its document sh010.roto.json lies beside EMPTY.blend.  Opens the shot in the Movie Clip editor with
the add-on's tab, tracks and mask, and saves what is on the screen."""

import os
import sys

import bpy

addon, shot, out = sys.argv[sys.argv.index('--') + 1:]
bpy.ops.preferences.addon_install(filepath=addon, overwrite=True)
bpy.ops.preferences.addon_enable(module='roto_blender')
images = sorted(f for f in os.listdir(shot) if f.startswith('image-'))
clip = bpy.data.movieclips.load(os.path.join(shot, images[0]))
for name in dir(bpy.types):  # the sidebar opens at the tab that is left
    panel = getattr(bpy.types, name)
    if name.startswith('CLIP_PT_') and getattr(panel, 'bl_region_type', '') in ('UI', 'TOOLS'):
        bpy.utils.unregister_class(panel)
scene = bpy.context.scene
scene.frame_end = len(images)


def look():
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda a: a.width * a.height)
    area.type = 'CLIP_EDITOR'
    space = area.spaces.active
    space.clip, space.show_region_ui, space.show_region_toolbar = clip, True, False
    scene.roto.document, scene.roto.crop = '//sh010.roto.json', (190, 100, 250, 260)
    region = [r for r in area.regions if r.type == 'WINDOW'][0]
    with bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region, space_data=space):
        bpy.ops.roto.load()
        space.mode, space.mask = 'MASK', bpy.data.masks[0]
        space.show_marker_pattern = space.show_track_path = space.show_disabled = False
        scene.frame_set(scene.frame_start + 24)
        bpy.ops.clip.view_all(fit_view=True)
        bpy.ops.clip.view_zoom_ratio(ratio=2.2)
        space.show_region_toolbar = False
    bpy.app.timers.register(click, first_interval=2)


def click():
    """On the tab of the add-on, the last of the sidebar."""
    window = bpy.context.window_manager.windows[0]
    window.event_simulate('MOUSEMOVE', 'NOTHING', x=1175, y=757)
    window.event_simulate('LEFTMOUSE', 'PRESS', x=1175, y=757)
    window.event_simulate('LEFTMOUSE', 'RELEASE', x=1175, y=757)
    bpy.app.timers.register(shoot, first_interval=2)


def shoot():
    window = bpy.context.window_manager.windows[0]
    for area in window.screen.areas:
        area.tag_redraw()
    with bpy.context.temp_override(window=window):
        bpy.ops.screen.screenshot(filepath=out)
    bpy.ops.wm.quit_blender()


bpy.app.timers.register(look, first_interval=1)
