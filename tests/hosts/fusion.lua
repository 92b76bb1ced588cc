-- Reads an export for Fusion as Fusion does, as a Lua table; prints its masks as lines: lua fusion.lua FILE
--   mask NAME | level NAME FRAME VALUE | key NAME FRAME CLOSED | point X Y LX LY RX RY
-- Only the constructors of .setting files are known; anything else is an error.
local function tagged(kind)
  return function(t) t.__kind = kind; return t end
end
local world = {}
for _, kind in ipairs{"Input", "FuID", "Polyline", "PolylineMask", "BezierSpline", "OperatorInfo"} do world[kind] = tagged(kind) end
world.ordered = function() return tagged("ordered") end
setmetatable(world, {__index = function(_, name) error("unknown name " .. tostring(name)) end})
local file = assert(io.open(arg[1])):read("a")
local setting = assert(load("return " .. file, arg[1], "t", world))()
local function kind_of(t, kind, where)
  assert(type(t) == "table" and t.__kind == kind, where .. ": expected " .. kind)
  return t
end
local tools = kind_of(setting.Tools, "ordered", "Tools")
local function keys_of(name)
  local spline, frames = kind_of(tools[name], "BezierSpline", name), {}
  for frame in pairs(spline.KeyFrames) do frames[#frames + 1] = frame end
  table.sort(frames)
  return spline.KeyFrames, frames
end
local names = {}
for name, tool in pairs(tools) do
  if type(tool) == "table" and tool.__kind == "PolylineMask" then names[#names + 1] = name end
end
table.sort(names)
for _, name in ipairs(names) do
  local inputs = tools[name].Inputs
  print("mask " .. name)
  if inputs.EffectMask then assert(tools[inputs.EffectMask.SourceOp].__kind == "PolylineMask") end
  local keys, frames = keys_of(kind_of(inputs.Level, "Input", name).SourceOp)
  for _, frame in ipairs(frames) do print(("level %s %d %g"):format(name, frame, keys[frame][1])) end
  keys, frames = keys_of(kind_of(inputs.Polyline, "Input", name).SourceOp)
  for i, frame in ipairs(frames) do
    assert(keys[frame][1] == i - 1 and keys[frame].Flags.Linear, "running index of a key")
    local polyline = kind_of(keys[frame].Value, "Polyline", name)
    print(("key %s %d %d"):format(name, frame, polyline.Closed and 1 or 0))
    for _, p in ipairs(polyline.Points) do
      print(("point %.12g %.12g %.12g %.12g %.12g %.12g"):format(p.X, p.Y, p.LX, p.LY, p.RX, p.RY))
    end
  end
end
