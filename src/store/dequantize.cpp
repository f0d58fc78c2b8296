// Reference dequantisation: one plain function per block format, in the order of operations of
// ggml's own reference, so that the f32 results agree with it bit for bit. Source: the block
// layouts of ggml-common.h; OCP Microscaling Formats 1.0 for MXFP4.
#include <array>
#include <bit>
#include <cstring>

#include "base/block_codes.h"
#include "base/check.h"
#include "base/float_formats.h"
#include "store/tensor.h"

namespace pippin::store {
namespace {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

using Byte = uint8_t;

uint16_t load_u16(const Byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

uint32_t load_u32(const Byte* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

float load_f16(const Byte* p) { return half_to_float(load_u16(p)); }

// The scale of MXFP4, 2^(e - 127), halved because kE2M1Doubled holds doubled values. Subnormal for
// e < 2.
float load_half_e8m0(const Byte* p) {
  const uint32_t e = *p;
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

// Blocks of 32 keep element j in the low nibble of byte j and element j + 16 in its high nibble.
int nibble_of_32(const Byte* qs, int element) {
  return element < 16 ? qs[element] & 0xf : qs[element - 16] >> 4;
}

void block_q4_0(const Byte* in, float* out) {
  const float d = load_f16(in);
  for (int e = 0; e < 32; ++e) out[e] = static_cast<float>(nibble_of_32(in + 2, e) - 8) * d;
}

void block_q4_1(const Byte* in, float* out) {
  const float d = load_f16(in), m = load_f16(in + 2);
  for (int e = 0; e < 32; ++e) out[e] = static_cast<float>(nibble_of_32(in + 4, e)) * d + m;
}

void block_q5_0(const Byte* in, float* out) {
  const float d = load_f16(in);
  const uint32_t high = load_u32(in + 2);
  for (int e = 0; e < 32; ++e) {
    const int q = nibble_of_32(in + 6, e) | static_cast<int>((high >> e) & 1) << 4;
    out[e] = static_cast<float>(q - 16) * d;
  }
}

void block_q5_1(const Byte* in, float* out) {
  const float d = load_f16(in), m = load_f16(in + 2);
  const uint32_t high = load_u32(in + 4);
  for (int e = 0; e < 32; ++e) {
    const int q = nibble_of_32(in + 8, e) | static_cast<int>((high >> e) & 1) << 4;
    out[e] = static_cast<float>(q) * d + m;
  }
}

void block_q8_0(const Byte* in, float* out) {
  const float d = load_f16(in);
  for (int e = 0; e < 32; ++e) out[e] = static_cast<float>(static_cast<int8_t>(in[2 + e])) * d;
}

// Two-bit quants of Q2_K and Q3_K: groups of 16; each 32 bytes carry 128 elements, 32 at a time by
// shift.
int two_bits(const Byte* qs, int group, int l) {
  return qs[group / 8 * 32 + group % 2 * 16 + l] >> (group % 8 / 2 * 2) & 3;
}

void block_q2_k(const Byte* in, float* out) {
  const Byte *scales = in, *qs = in + 16;
  const float d = load_f16(in + 80), dmin = load_f16(in + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] & 0xf);
    const float min = dmin * static_cast<float>(scales[group] >> 4);
    for (int l = 0; l < 16; ++l) {
      *out++ = scale * static_cast<float>(two_bits(qs, group, l)) - min;
    }
  }
}

void block_q3_k(const Byte* in, float* out) {
  const Byte *high = in, *qs = in + 32, *scales = in + 96;
  const float d = load_f16(in + 108);
  for (int group = 0; group < 16; ++group) {
    const int low4 = group < 8 ? scales[group] & 0xf : scales[group - 8] >> 4;
    const int high2 = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
    for (int l = 0; l < 16; ++l) {
      const bool upper = high[group % 2 * 16 + l] >> (group / 2) & 1;
      *out++ = scale * static_cast<float>(two_bits(qs, group, l) - (upper ? 0 : 4));
    }
  }
}

void block_q4_k(const Byte* in, float* out) {
  const float d = load_f16(in), dmin = load_f16(in + 2);
  const Byte *scales = in + 4, *qs = in + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = packed_scale_min(scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    for (int l = 0; l < 32; ++l) {
      const int q = qs[group / 2 * 32 + l] >> (group % 2 * 4) & 0xf;
      *out++ = scale * static_cast<float>(q) - min;
    }
  }
}

void block_q5_k(const Byte* in, float* out) {
  const float d = load_f16(in), dmin = load_f16(in + 2);
  const Byte *scales = in + 4, *high = in + 16, *qs = in + 48;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = packed_scale_min(scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    for (int l = 0; l < 32; ++l) {
      const int low = qs[group / 2 * 32 + l] >> (group % 2 * 4) & 0xf;
      const int q = low | (high[l] >> group & 1) << 4;
      *out++ = scale * static_cast<float>(q) - min;
    }
  }
}

void block_q6_k(const Byte* in, float* out) {
  const Byte *low = in, *high = in + 128, *scales = in + 192;
  const float d = load_f16(in + 208);
  for (int group = 0; group < 8; ++group) {  // 32 elements each, two scales
    const int half = group / 4, quarter = group % 4;
    for (int l = 0; l < 32; ++l) {
      const int low4 = low[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 0xf;
      const int high2 = high[half * 32 + l] >> (quarter * 2) & 3;
      const auto scale = static_cast<int8_t>(scales[group * 2 + l / 16]);
      *out++ = d * static_cast<float>(scale) * static_cast<float>((low4 | high2 << 4) - 32);
    }
  }
}

void block_iq4_nl(const Byte* in, float* out) {
  const float d = load_f16(in);
  for (int e = 0; e < 32; ++e) out[e] = d * static_cast<float>(kIq4Values[nibble_of_32(in + 2, e)]);
}

void block_iq4_xs(const Byte* in, float* out) {
  const float d = load_f16(in);
  const int scales_high = load_u16(in + 2);
  const Byte *scales_low = in + 4, *qs = in + 8;
  for (int group = 0; group < 8; ++group) {
    const int low4 = scales_low[group / 2] >> (group % 2 * 4) & 0xf;
    const int high2 = scales_high >> (group * 2) & 3;
    const float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
    for (int e = 0; e < 32; ++e) {
      *out++ = scale * static_cast<float>(kIq4Values[nibble_of_32(qs + group * 16, e)]);
    }
  }
}

void block_mxfp4(const Byte* in, float* out) {
  const float d = load_half_e8m0(in);
  for (int e = 0; e < 32; ++e) {
    out[e] = static_cast<float>(kE2M1Doubled[nibble_of_32(in + 1, e)]) * d;
  }
}

// Sub-blocks of 16 with a scale each.
void block_nvfp4(const Byte* in, float* out) {
  for (int sub_block = 0; sub_block < 4; ++sub_block) {
    const float d = half_ue4m3(in[sub_block]);
    const Byte* qs = in + 4 + 8 * sub_block;
    for (int j = 0; j < 16; ++j) {
      const int code = j < 8 ? qs[j] & 0xf : qs[j - 8] >> 4;
      *out++ = static_cast<float>(kE2M1Doubled[code]) * d;
    }
  }
}

template <TensorType kType>
void block_grid(const Byte* in, float* out) {
  constexpr std::array<int8_t, 16> kValues = grid_values(kType);
  GridBlock block;
  read_grid_block(kType, in, block);
  const float d = half_to_float(block.d) * grid_step(kType);
  for (int k = 0; k < 256; ++k)
    out[k] =
        d * static_cast<float>(block.scale[k / 16]) * static_cast<float>(kValues[block.code[k]]);
}

template <TensorType kType>
void block_ternary(const Byte* in, float* out) {
  TernaryBlock block;
  read_ternary_block(kType, in, block);
  const float d = half_to_float(block.d);
  for (int k = 0; k < block_elements(kType); ++k)
    out[k] = static_cast<float>(block.code[k] - 1) * d;
}

void block_f16(const Byte* in, float* out) { *out = load_f16(in); }

void block_bf16(const Byte* in, float* out) { *out = bfloat16_to_float(load_u16(in)); }

template <typename Block>
void each_block(TensorType type, std::span<const std::byte> bytes, float* out, Block block) {
  const auto* in = reinterpret_cast<const Byte*>(bytes.data());
  const size_t stride = static_cast<size_t>(block_bytes(type));
  CHECK(!is_affine(type), "affine tensors have no blocks");
  const size_t elements = static_cast<size_t>(block_elements(type));
  for (size_t at = 0; at < bytes.size(); at += stride, out += elements) block(in + at, out);
}

// Codes of `bits` bits from a little-endian stream; a code lies in two bytes at most. Rows are
// whole groups, so whole bytes: a matrix is one stream.
int stream_code(const Byte* codes, size_t element, int bits) {
  const size_t at = element * static_cast<size_t>(bits);
  const Byte* p = codes + at / 8;
  const int shift = static_cast<int>(at % 8);
  const uint32_t wide = shift + bits > 8 ? load_u16(p) : *p;
  return static_cast<int>(wide >> shift & ((1u << bits) - 1));
}

void affine_values(const TensorView& tensor, std::span<float> out) {
  const QuantisationParameters& form = tensor.mlx;
  const auto group = static_cast<size_t>(form.group);
  std::vector<float> scales(out.size() / group), biases(out.size() / group);
  dequantize(form.scale_type, form.scales, scales);
  dequantize(form.scale_type, form.biases, biases);
  const auto* codes = reinterpret_cast<const Byte*>(tensor.bytes.data());
  const int bits = tensor_format(tensor.type).code_bits;
  for (size_t i = 0; i < out.size(); ++i) {
    const int code = stream_code(codes, i, bits);
    out[i] = scales[i / group] * static_cast<float>(code) + biases[i / group];
  }
}

void mxfp4_values(const TensorView& tensor, std::span<float> out) {
  const auto group = static_cast<size_t>(tensor.mlx.group);
  const auto* codes = reinterpret_cast<const Byte*>(tensor.bytes.data());
  const auto* scales = reinterpret_cast<const Byte*>(tensor.mlx.scales.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const int code = stream_code(codes, i, tensor_format(tensor.type).code_bits);
    out[i] = static_cast<float>(kE2M1Doubled[code]) * load_half_e8m0(scales + i / group);
  }
}

}  // namespace

void dequantize(TensorType type, std::span<const std::byte> bytes, std::span<float> out) {
  CHECK(!is_affine(type), "affine tensors have no blocks");
  const size_t elements = static_cast<size_t>(block_elements(type));
  CHECK(out.size() % elements == 0, "whole blocks only");
  CHECK(bytes.size() == out.size() / elements * static_cast<size_t>(block_bytes(type)),
        "bytes and values differ in blocks");
  const auto run = [&](auto block) { each_block(type, bytes, out.data(), block); };
  switch (type) {
    case TensorType::kF32:
      if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case TensorType::kF16:
      return run(block_f16);
    case TensorType::kBF16:
      return run(block_bf16);
    case TensorType::kQ4_0:
      return run(block_q4_0);
    case TensorType::kQ4_1:
      return run(block_q4_1);
    case TensorType::kQ5_0:
      return run(block_q5_0);
    case TensorType::kQ5_1:
      return run(block_q5_1);
    case TensorType::kQ8_0:
      return run(block_q8_0);
    case TensorType::kQ2_K:
      return run(block_q2_k);
    case TensorType::kQ3_K:
      return run(block_q3_k);
    case TensorType::kQ4_K:
      return run(block_q4_k);
    case TensorType::kQ5_K:
      return run(block_q5_k);
    case TensorType::kQ6_K:
      return run(block_q6_k);
    case TensorType::kIQ4_NL:
      return run(block_iq4_nl);
    case TensorType::kIQ4_XS:
      return run(block_iq4_xs);
    case TensorType::kMXFP4:
      return run(block_mxfp4);
    case TensorType::kNVFP4:
      return run(block_nvfp4);
    case TensorType::kIQ1_S:
      return run(block_grid<TensorType::kIQ1_S>);
    case TensorType::kIQ1_M:
      return run(block_grid<TensorType::kIQ1_M>);
    case TensorType::kIQ2_XXS:
      return run(block_grid<TensorType::kIQ2_XXS>);
    case TensorType::kIQ2_XS:
      return run(block_grid<TensorType::kIQ2_XS>);
    case TensorType::kIQ2_S:
      return run(block_grid<TensorType::kIQ2_S>);
    case TensorType::kIQ3_XXS:
      return run(block_grid<TensorType::kIQ3_XXS>);
    case TensorType::kIQ3_S:
      return run(block_grid<TensorType::kIQ3_S>);
    case TensorType::kTQ1_0:
      return run(block_ternary<TensorType::kTQ1_0>);
    case TensorType::kTQ2_0:
      return run(block_ternary<TensorType::kTQ2_0>);
    case TensorType::kQ1_0:
      return run(block_ternary<TensorType::kQ1_0>);
    case TensorType::kQ2_0:
      return run(block_ternary<TensorType::kQ2_0>);
    default:  // affine: no blocks
      break;
  }
  CHECK(false, "not a TensorType of blocks");
}

void dequantize(const TensorView& tensor, std::span<float> out) {
  CHECK(out.size() == static_cast<size_t>(tensor.elements()), "one value for each element");
  CHECK(!tensor.transposed && tensor.packed == nullptr, "rows must follow each other");
  if (tensor.has_blocks()) return dequantize(tensor.type, tensor.bytes, out);
  CHECK(tensor.mlx.group > 0 && tensor.shape.back() % tensor.mlx.group == 0, "whole groups only");
  tensor.type == TensorType::kMXFP4 ? mxfp4_values(tensor, out) : affine_values(tensor, out);
}

}  // namespace pippin::store
