#!/usr/bin/env python3
"""Makes training.h and efficientnet.h beside it: what PyTorch computes for networks whose parameters and inputs come from a
closed formula, so that the tests can fill the same networks and compare.  Needed only to make the files anew; made with Debian
12's python3-torch 1.13 and python3-torchvision 0.14, in double precision:

    python3 tests/golden/make_golden.py
"""
import os
import numpy as np
import torch
import torchvision

here = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def uniform(stream, count):
    """Numbers in [-1, 1), exact in float32: the top 24 bits of a finalised counter, one stream for each array."""
    with np.errstate(over="ignore"):
        x = np.uint64(stream + 1) * np.uint64(0x9E3779B97F4A7C15) + np.arange(count, dtype=np.uint64)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        x = x ^ x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def fill(name, stream, torch_shape):
    """A parameter from its stream.  The formula runs over the layout of the .roto format: [kh][kw][ic][oc], [kh][kw][c],
    [in][out]."""
    count = int(np.prod(torch_shape))
    u = uniform(stream, count)
    if name.endswith("running_mean"):
        v = 0.1 * u
    elif name.endswith("running_var"):
        v = 1 + 0.2 * u
    elif len(torch_shape) == 4:
        oc, ic, kh, kw = torch_shape
        v = np.sqrt(6.0 / (ic * kh * kw)) * u
        v = v.reshape(kh, kw, ic, oc).transpose(3, 2, 0, 1)
    elif len(torch_shape) == 2:
        v = (0.3 * np.sqrt(6.0 / torch_shape[1]) * u).reshape(torch_shape[1], torch_shape[0]).T
    elif name.endswith("dense.bias"):
        v = 0.5 + 0.2 * u
    elif name.endswith("weight"):
        v = 1 + 0.2 * u
    else:
        v = 0.2 * u
    # the trainer's parameters are floats, so the formula's values are rounded to float here too
    return torch.from_numpy(np.ascontiguousarray(v).astype(np.float32).astype(np.float64))


def fill_all(module):
    """In the order of state_dict, which is the order in which the trainer builds."""
    state, stream = module.state_dict(), 0
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        value.copy_(fill(name, stream, tuple(value.shape)).reshape(value.shape))
        stream += 1


def roto_layout(value):
    v = value.detach().numpy()
    if v.ndim == 4:
        v = v.transpose(2, 3, 1, 0)
    elif v.ndim == 2:
        v = v.T
    return v.reshape(-1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.conv, self.norm1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.norm2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.project, self.norm3 = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.dense = nn.Linear(5 * 4 * 8, 8)

    def forward(self, x):
        f = torch.nn.functional
        a = f.silu(self.norm1(self.conv(x)))
        b = f.relu6(self.norm2(self.depthwise(a)))
        s = torch.sigmoid(self.excite(f.silu(self.squeeze(b.mean((2, 3), keepdim=True)))))
        a = a + self.norm3(self.project(b * s))
        return self.dense(a.permute(0, 2, 3, 1).flatten(1))


BATCH, HEIGHT, WIDTH, POINTS, STEPS = 3, 10, 8, 4, 10


def train(decay, dtype=torch.float64):
    net = Block()
    fill_all(net)
    net = net.to(dtype)
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3) if decay else torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for step in range(STEPS):
        x = uniform(1000 + step, BATCH * HEIGHT * WIDTH * 3).reshape(BATCH, HEIGHT, WIDTH, 3).transpose(0, 3, 1, 2)
        truth = (0.5 + 0.4 * uniform(2000 + step, BATCH * POINTS * 2)).astype(np.float32).reshape(BATCH, POINTS, 2)
        weight = (1 + 0.5 * uniform(3000 + step, BATCH * POINTS)).astype(np.float32).reshape(BATCH, POINTS)
        weight[step % BATCH, 1] = 0
        y = net(torch.from_numpy(x.copy()).to(dtype)).reshape(BATCH, POINTS, 2)
        distance = 100 * (y - torch.from_numpy(truth).to(dtype)).abs().sum(2)
        loss = (torch.from_numpy(weight).to(dtype) * distance).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    summary = []
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            v = roto_layout(value).astype(np.float64)
            summary.append((name, v[0], float(v @ uniform(4000 + len(summary), v.size))))
    return losses, summary


HEAD = """/* %s
 * Made by make_golden.py, which says how, with PyTorch %s and torchvision %s in double precision. */

"""
versions = (torch.__version__, torchvision.__version__)


def write_training():
    with open(os.path.join(here, "training.h"), "w") as out:
        out.write(HEAD % (("The first 10 training steps of a small network: losses, and parameters and running statistics "
                           "after\n * the last step.",) + versions))
        for title, decay in (("adam", 0), ("adamw", 0.5)):
            losses, summary = train(decay)
            single, single_summary = train(decay, torch.float32)
            drift = max(abs(a - b) / b for a, b in zip(single, losses))
            drift_p = max(max(abs(a[1] - b[1]), abs(a[2] - b[2])) for a, b in zip(single_summary, summary))
            print(f"{title}: PyTorch in float differs by {drift:.1e} of a loss, {drift_p:.1e} in a parameter or projection")
            out.write("static const double %s_losses[%d] = {\n" % (title, STEPS))
            out.write("".join("    %.15g,\n" % v for v in losses) + "};\n\n")
            out.write("/* Of each parameter: its first value, and the sum of all its values times uniform(4000 + i). */\n")
            out.write("static const double %s_parameters[%d][2] = {\n" % (title, len(summary)))
            out.write("".join("    {%.15g, %.15g}, /* %s */\n" % (v[1], v[2], v[0]) for v in summary) + "};\n\n")


# Sizes at which every stride meets an odd length somewhere, and, for b0, those that are not square either.
PICTURES = [(0, 64, 64), (0, 97, 61), (0, 33, 224)] + [(k, 49, 35) for k in range(1, 8)]
VALUES = 96


def write_efficientnets():
    with open(os.path.join(here, "efficientnet.h"), "w") as out:
        out.write(HEAD % (("EfficientNet-B0 to B7 without their classifiers, in inference, on pictures of several sizes.",) + versions))
        out.write("static const struct {\n  const char *name;\n  uint32_t in_h, in_w, h, w, c; /* picture and output */\n"
                  "  double mean, root_mean_square;\n  double drift;      /* largest difference of PyTorch in float */\n"
                  "  double values[%d]; /* of the output, h w c, evenly spaced from the first on */\n} efficientnets[] = {\n" % VALUES)
        for k, height, width in PICTURES:
            # Ours add 1e-5 to the variance in batch norm, as torchvision's b0 to b4 do; its b5 to b7 would add 1e-3.
            features = getattr(torchvision.models, f"efficientnet_b{k}")().double().features.eval()
            for module in features.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eps = 1e-5
            fill_all(features)
            x = uniform(1000, height * width * 3).reshape(1, height, width, 3).transpose(0, 3, 1, 2)
            with torch.no_grad():
                y = features(torch.from_numpy(x.copy())).permute(0, 2, 3, 1).numpy()
                z = features.float()(torch.from_numpy(x.astype(np.float32))).permute(0, 2, 3, 1).numpy()
            _, h, w, c = y.shape
            drift, rms = abs(y - z).max(), np.sqrt((y * y).mean())
            print(f"b{k} at {height} x {width}: rms {rms:.3g}, PyTorch in float differs by {drift:.1e}")
            out.write('    {"b%d", %d, %d, %d, %d, %d, %.15g, %.15g, %.2g,\n     {' % (k, height, width, h, w, c, y.mean(), rms, drift))
            values = ["%.9g," % v for v in y.reshape(-1)[:: y.size // VALUES][:VALUES]]
            out.write("\n      ".join(" ".join(values[j:j + 8]) for j in range(0, VALUES, 8)).rstrip(",") + "}},\n")
        out.write("};\n")


write_training()
write_efficientnets()
