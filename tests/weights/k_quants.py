"""The blocks of ggml's k-quants, 256 numbers each, as its C code (ggml-quants.c) lays them out and reads them."""

import numpy as np
from gguf import GGMLQuantizationType as Kind

K_QUANTS = {Kind.Q4_K: (144, (0, 2)), Kind.Q5_K: (176, (0, 2)), Kind.Q6_K: (210, (208,))}  # bytes, places of float16


def random_blocks(shape, kind):
    """Rows of blocks of any bits, whose scales are finite: [out, bytes]."""
    size, scales = K_QUANTS[kind]
    rows = np.random.default_rng(shape[0]).integers(0, 256, (shape[0], shape[1] // 256, size), np.uint8)
    for at in scales:
        rows[..., at : at + 2] = np.float16(np.random.default_rng(at).normal(0, 0.01, rows.shape[:2]))[..., None].view(
            np.uint8
        )
    return rows.reshape(shape[0], -1)


def scale_and_min(j, q):
    """ggml's get_scale_min_k4: eight pairs of 6 bits in 12 bytes."""
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    return (q[j + 4] & 15) | (q[j - 4] >> 6) << 4, (q[j + 4] >> 4) | (q[j] >> 6) << 4


def q4_k(block):
    """ggml's dequantize_row_q4_K for one block: d, dmin, scales[12], qs[128]."""
    (d, dmin), scales, qs = block[:4].view(np.float16).astype(np.float32), block[4:16].astype(int), block[16:]
    out = []
    for j in range(8):
        scale, least = scale_and_min(j, scales)
        q = qs[j // 2 * 32 :][:32]
        q = q >> 4 if j % 2 else q & 15
        out.append(d * np.float32(scale) * q.astype(np.float32) - dmin * np.float32(least))
    return np.concatenate(out)


def q5_k(block):
    """ggml's dequantize_row_q5_K for one block: d, dmin, scales[12], qh[32], qs[128]."""
    (d, dmin), scales = block[:4].view(np.float16).astype(np.float32), block[4:16].astype(int)
    high, qs, out = block[16:48], block[48:], []
    for j in range(8):
        scale, least = scale_and_min(j, scales)
        q = qs[j // 2 * 32 :][:32]
        q = (q >> 4 if j % 2 else q & 15) + np.where(high & 1 << j, 16, 0)
        out.append(d * np.float32(scale) * q.astype(np.float32) - dmin * np.float32(least))
    return np.concatenate(out)


def q6_k(block):
    """ggml's dequantize_row_q6_K for one block: ql[128], qh[64], scales[16], d."""
    scales, d = block[192:208].view(np.int8), np.float32(block[208:].view(np.float16)[0])
    out = np.zeros(256, np.float32)
    for half in (0, 1):
        low, high = block[64 * half :][:64].astype(int), block[128 + 32 * half :][:32].astype(int)
        for at in range(32):
            for part in range(4):  # 32 numbers each: low bits of two halves of ql, then their high bits
                q = low[at + 32 * (part % 2)] >> 4 * (part // 2) & 15 | (high[at] >> 2 * part & 3) << 4
                scale = np.float32(scales[8 * half + at // 16 + 2 * part])
                out[128 * half + 32 * part + at] = d * scale * np.float32(q - 32)
    return out
