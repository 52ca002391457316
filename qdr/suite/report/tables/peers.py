"""The table of peers: cost, quality and speed of every network that was trained in the same budget."""

from __future__ import annotations

from qdr.suite.evaluate.stats import Bootstrap
from qdr.suite.report.peers import Peer, Peers
from qdr.suite.report.tables.table import BLANK, Note, Table, brackets, difference

HEADER = [
    "Network",
    "Parameters (k)",
    "MACs (G)",
    "FP32 PSNR (dB)",
    "PTQ INT8 PSNR (dB)",
    "Δ INT8 to FP32 (dB)",
    "Δ to EFM, INT8 (dB)",
    "FP32 (ms)",
    "INT8 (ms)",
    "Speed-up",
    "EFM INT8, times as fast",
]


def peers_table(peers: Peers, stats: Bootstrap) -> Table:
    """A row per network, and one for QDR of the EFM."""
    rows = [_row(peer, peers, stats) for peer in peers.networks]
    if len(peers.qdr):
        cells = [difference(stats.difference(peers.qdr, own), 2) for own in (peers.own.fp32, peers.own.int8)]
        rows.insert(1, ["EFM, QDR", *[BLANK] * 3, f"{peers.qdr.mean():.2f}", *cells, *[BLANK] * 4])
    caption = (
        f"Networks trained in the same budget: {peers.test_set}, {len(peers.degraded)} images, 1 seed per model, "
        f"profile {peers.profile}; degraded input {peers.degraded.mean():.2f} dB; "
        f"{brackets(stats)}; n.s.: not significant."
    )
    notes = [
        f"MACs of convolutions and matrix products, and median latency ({peers.calls} calls), at {peers.side}x{peers.side}; "
        f"OpenVINO, {peers.threads} threads.",
        "Equal steps, batch, patch and data for all, so a network that needs longer training stands below its paper. "
        "INT8 by calibration alone (PTQ, W8A8), measured on the engine's 8-bit output; Δ to EFM: to its PTQ.",
        Note("EFM INT8, times as fast: the network's INT8 latency over the EFM's.", HEADER[-1]),
    ]
    return Table("peers", caption, HEADER, rows, notes, {"": HEADER[:7], "speed": [HEADER[0], *HEADER[7:]]})


def _row(peer: Peer, peers: Peers, stats: Bootstrap) -> list[str]:
    own = peer is peers.own
    ratio = peer.milliseconds["int8"] / peers.own.milliseconds["int8"]
    return [
        peer.label,
        f"{peer.parameters / 1e3:.1f}",
        f"{peer.macs / 1e9:.2f}",
        f"{peer.fp32.mean():.2f}",
        f"{peer.int8.mean():.2f}",
        difference(stats.difference(peer.int8, peer.fp32), 2),
        BLANK if own else difference(stats.difference(peer.int8, peers.own.int8), 2),
        f"{peer.milliseconds['fp32']:.2f}",
        f"{peer.milliseconds['int8']:.2f}",
        f"{peer.speed_up:.2f}×",
        BLANK if own else f"{ratio:.1f}×",
    ]
