#include "store/quantise.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/code_stream.h"
#include "base/float_formats.h"

namespace pippin::store {
namespace {

using Byte = uint8_t;

constexpr int kSuper = 256;  // elements of a K-quant block

uint16_t bfloat_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void store_u16(Byte* p, uint16_t value) { std::memcpy(p, &value, sizeof value); }

// Stores the scale and returns what a reader will find.
float store_half(Byte* p, float value) {
  const uint16_t bits = float_to_half(value);
  store_u16(p, bits);
  return half_to_float(bits);
}

int code_of(float scaled, int low, int high) {
  return std::clamp(static_cast<int>(std::lrint(scaled)), low, high);
}

// Larger weights count for more in a block's error.
template <size_t N>
std::array<float, N> importance(const float* x) {
  float squares = 0;
  for (size_t i = 0; i < N; ++i) squares += x[i] * x[i];
  const float rms = std::sqrt(squares / N);
  std::array<float, N> weights;
  for (size_t i = 0; i < N; ++i) weights[i] = rms + std::abs(x[i]);
  return weights;
}

// Returns the scale d for which d * code, with codes of [-high, high - 1], fits best. Candidates
// let the largest value meet the codes around -high; each is refined by least squares.
template <size_t N>
float symmetric_scale(const float* x, int high) {
  float largest = 0;
  for (size_t i = 0; i < N; ++i)
    if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
  if (std::abs(largest) < 1e-15F) return 0;
  const std::array<float, N> weight = importance<N>(x);
  float best = 0, best_gain = -1;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = -(static_cast<float>(high) + 0.1F * static_cast<float>(step)) / largest;
    float cross = 0, squares = 0;
    for (size_t i = 0; i < N; ++i) {
      const auto code = static_cast<float>(code_of(x[i] * inverse, -high, high - 1));
      cross += weight[i] * x[i] * code;
      squares += weight[i] * code * code;
    }
    // The error falls by cross^2 / squares.
    if (squares > 0 && cross * cross / squares > best_gain) {
      best_gain = cross * cross / squares;
      best = cross / squares;
    }
  }
  return best;
}

/// value = scale * code - min.
struct ScaleMin {
  float scale = 0, min = 0;
};

// The same with a minimum of 0 or more and codes of [0, high].
ScaleMin scale_and_min(const float* x, int high) {
  constexpr size_t kGroup = 32;
  const float low = std::min(0.0F, *std::min_element(x, x + kGroup));
  const float top = *std::max_element(x, x + kGroup);
  if (top - low < 1e-15F) return {0, -low};
  const std::array<float, kGroup> weight = importance<kGroup>(x);
  float sum_w = 0, sum_x = 0;
  for (size_t i = 0; i < kGroup; ++i) {
    sum_w += weight[i];
    sum_x += weight[i] * x[i];
  }
  ScaleMin best{(top - low) / static_cast<float>(high), -low};
  float best_error = std::numeric_limits<float>::max();
  for (int step = 0; step <= 20; ++step) {
    const float inverse =
        (static_cast<float>(high) - 1 + 0.1F * static_cast<float>(step)) / (top - low);
    std::array<float, kGroup> codes;
    float sum_c = 0, sum_cc = 0, sum_xc = 0;
    for (size_t i = 0; i < kGroup; ++i) {
      codes[i] = static_cast<float>(code_of((x[i] - low) * inverse, 0, high));
      sum_c += weight[i] * codes[i];
      sum_cc += weight[i] * codes[i] * codes[i];
      sum_xc += weight[i] * x[i] * codes[i];
    }
    const float determinant = sum_w * sum_cc - sum_c * sum_c;
    if (determinant <= 0) continue;
    ScaleMin fit{(sum_w * sum_xc - sum_x * sum_c) / determinant,
                 -(sum_cc * sum_x - sum_c * sum_xc) / determinant};
    if (fit.min < 0) fit = {sum_xc / sum_cc, 0};
    float error = 0;
    for (size_t i = 0; i < kGroup; ++i) {
      const float off = fit.scale * codes[i] - fit.min - x[i];
      error += weight[i] * off * off;
    }
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

void block_q4_0(const float* x, Byte* out) {
  const float d = store_half(out, symmetric_scale<32>(x, 8));
  const float inverse = d == 0 ? 0 : 1 / d;
  for (int i = 0; i < 16; ++i)
    out[2 + i] = static_cast<Byte>((code_of(x[i] * inverse, -8, 7) + 8) |
                                   (code_of(x[i + 16] * inverse, -8, 7) + 8) << 4);
}

void block_q5_0(const float* x, Byte* out) {
  const float d = store_half(out, symmetric_scale<32>(x, 16));
  const float inverse = d == 0 ? 0 : 1 / d;
  uint32_t high = 0;
  for (int i = 0; i < 16; ++i) {
    const auto a = static_cast<uint32_t>(code_of(x[i] * inverse, -16, 15) + 16);
    const auto b = static_cast<uint32_t>(code_of(x[i + 16] * inverse, -16, 15) + 16);
    out[6 + i] = static_cast<Byte>((a & 15) | (b & 15) << 4);
    high |= (a >> 4) << i | (b >> 4) << (i + 16);
  }
  std::memcpy(out + 2, &high, sizeof high);
}

void block_q8_0(const float* x, Byte* out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(x[i]));
  const float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
  store_u16(out, float_to_half(d));
  for (int i = 0; i < 32; ++i)
    out[2 + i] = static_cast<Byte>(static_cast<int8_t>(std::lround(x[i] * inverse)));
}

// The eight 6-bit scales and minimums of Q4_K and Q5_K lie in 12 bytes.
void pack_scale_min(Byte* p, int group, int scale, int min) {
  if (group < 4) {
    p[group] = static_cast<Byte>(p[group] | scale);
    p[group + 4] = static_cast<Byte>(p[group + 4] | min);
    return;
  }
  p[group + 4] = static_cast<Byte>((scale & 15) | (min & 15) << 4);
  p[group - 4] = static_cast<Byte>(p[group - 4] | scale >> 4 << 6);
  p[group] = static_cast<Byte>(p[group] | min >> 4 << 6);
}

// The head of a Q4_K or Q5_K block: d, dmin and the packed scales; and its codes of [0, high].
std::array<Byte, kSuper> super_codes(const float* x, int high, Byte* head) {
  std::array<ScaleMin, 8> groups;
  float scale_max = 0, min_max = 0;
  for (int g = 0; g < 8; ++g) {
    groups[static_cast<size_t>(g)] = scale_and_min(x + g * 32, high);
    scale_max = std::max(scale_max, groups[static_cast<size_t>(g)].scale);
    min_max = std::max(min_max, groups[static_cast<size_t>(g)].min);
  }
  std::fill_n(head, 16, Byte{0});
  const float d = store_half(head, scale_max / 63), dmin = store_half(head + 2, min_max / 63);
  std::array<Byte, kSuper> codes;
  for (int g = 0; g < 8; ++g) {
    const ScaleMin& group = groups[static_cast<size_t>(g)];
    const int scale = d == 0 ? 0 : code_of(group.scale / d, 0, 63);
    const int min = dmin == 0 ? 0 : code_of(group.min / dmin, 0, 63);
    pack_scale_min(head + 4, g, scale, min);
    const float step = d * static_cast<float>(scale), shift = dmin * static_cast<float>(min);
    for (int i = g * 32; i < g * 32 + 32; ++i)
      codes[static_cast<size_t>(i)] =
          static_cast<Byte>(step == 0 ? 0 : code_of((x[i] + shift) / step, 0, high));
  }
  return codes;
}

void block_q4_k(const float* x, Byte* out) {
  const std::array<Byte, kSuper> codes = super_codes(x, 15, out);
  for (size_t pair = 0; pair < 4; ++pair)
    for (size_t l = 0; l < 32; ++l)
      out[16 + pair * 32 + l] =
          static_cast<Byte>(codes[pair * 64 + l] | codes[pair * 64 + 32 + l] << 4);
}

void block_q5_k(const float* x, Byte* out) {
  const std::array<Byte, kSuper> codes = super_codes(x, 31, out);
  Byte *high = out + 16, *low = out + 48;
  std::fill_n(high, 32, Byte{0});
  for (size_t pair = 0; pair < 4; ++pair) {
    for (size_t l = 0; l < 32; ++l) {
      const Byte a = codes[pair * 64 + l], b = codes[pair * 64 + 32 + l];
      low[pair * 32 + l] = static_cast<Byte>((a & 15) | (b & 15) << 4);
      high[l] = static_cast<Byte>(high[l] | (a >> 4) << (pair * 2) | (b >> 4) << (pair * 2 + 1));
    }
  }
}

void block_q6_k(const float* x, Byte* out) {
  std::array<float, 16> scales;
  float largest = 0;
  for (size_t g = 0; g < 16; ++g) {
    scales[g] = symmetric_scale<16>(x + g * 16, 32);
    if (std::abs(scales[g]) > std::abs(largest)) largest = scales[g];
  }
  std::fill_n(out, 210, Byte{0});
  const float d = store_half(out + 208, largest / -128);
  if (d == 0) return;  // codes of 0 stand for -32, times a scale of 0
  for (size_t g = 0; g < 16; ++g) {
    const int scale = code_of(scales[g] / d, -128, 127);
    out[192 + g] = static_cast<Byte>(static_cast<int8_t>(scale));
    const float step = d * static_cast<float>(scale);
    for (size_t i = g * 16; i < g * 16 + 16; ++i) {
      const int code = (step == 0 ? 0 : code_of(x[i] / step, -32, 31)) + 32;
      const size_t half = i / 128, quarter = i / 32 % 4, l = i % 32;
      Byte& low = out[half * 64 + quarter % 2 * 32 + l];
      Byte& high = out[128 + half * 32 + l];
      low = static_cast<Byte>(low | (code & 15) << (quarter / 2 * 4));
      high = static_cast<Byte>(high | code >> 4 << (quarter * 2));
    }
  }
}

using Block = void (*)(const float* x, Byte* out);

void block_f32(const float* x, Byte* out) { std::memcpy(out, x, sizeof *x); }
void block_f16(const float* x, Byte* out) { store_u16(out, float_to_half(*x)); }
void block_bf16(const float* x, Byte* out) { store_u16(out, bfloat_bits(*x)); }

// Returns null for a format that is not written.
Block block_of(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return block_f32;
    case TensorType::kF16:
      return block_f16;
    case TensorType::kBF16:
      return block_bf16;
    case TensorType::kQ4_0:
      return block_q4_0;
    case TensorType::kQ5_0:
      return block_q5_0;
    case TensorType::kQ8_0:
      return block_q8_0;
    case TensorType::kQ4_K:
      return block_q4_k;
    case TensorType::kQ5_K:
      return block_q5_k;
    case TensorType::kQ6_K:
      return block_q6_k;
    default:
      return nullptr;
  }
}

// MLX's affine_quantize(): the edge further from zero is a code's value exactly.
void affine_group(const float* x, int group, int bits, CodeStream& codes, float& scale,
                  float& bias) {
  const float bins = static_cast<float>((1 << bits) - 1);
  const float low = *std::min_element(x, x + group), high = *std::max_element(x, x + group);
  const bool from_low = std::abs(low) > std::abs(high);
  scale = std::max((high - low) / bins, 1e-7F);
  if (!from_low) scale = -scale;
  const float edge = from_low ? low : high;
  const float zero = std::rint(edge / scale);
  bias = 0;
  if (zero != 0) {
    scale = edge / zero;
    bias = edge;
  }
  for (int i = 0; i < group; ++i)
    codes.put(static_cast<uint32_t>(std::clamp(std::rint((x[i] - bias) / scale), 0.0F, bins)));
}

// The nearest E2M1 value's code; of two as near the lesser magnitude, and never minus zero.
uint32_t e2m1_code(float value) {
  constexpr float kBorders[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5};
  const float magnitude = std::abs(value);
  uint32_t code = 0;
  for (const float border : kBorders) code += magnitude > border ? 1 : 0;
  return code | (std::signbit(value) && code != 0 ? 8U : 0U);
}

// The least power of two for which no value is beyond E2M1's 6.
void mxfp4_group(const float* x, int group, CodeStream& codes, Byte& scale) {
  float largest = 0;
  for (int i = 0; i < group; ++i) largest = std::max(largest, std::abs(x[i]));
  const int exponent =
      largest == 0 ? -127
                   : std::clamp(static_cast<int>(std::ceil(std::log2(largest / 6))), -127, 127);
  scale = static_cast<Byte>(exponent + 127);
  const float step = std::ldexp(1.0F, exponent);
  for (int i = 0; i < group; ++i) codes.put(e2m1_code(x[i] / step));
}

void store_float(TensorType type, float value, Byte* out) { block_of(type)(&value, out); }

void encode_groups(const Encoding& encoding, std::span<const float> values,
                   const EncodedSpans& out) {
  const int bits = tensor_format(encoding.type).code_bits, group = encoding.group;
  CodeStream codes(reinterpret_cast<Byte*>(out.values.data()), bits);
  auto* scales = reinterpret_cast<Byte*>(out.scales.data());
  auto* biases = reinterpret_cast<Byte*>(out.biases.data());
  for (size_t at = 0; at < values.size(); at += static_cast<size_t>(group)) {
    if (encoding.type == TensorType::kMXFP4) {
      mxfp4_group(values.data() + at, group, codes, *scales++);
      continue;
    }
    float scale = 0, bias = 0;
    affine_group(values.data() + at, group, bits, codes, scale, bias);
    store_float(encoding.scale_type, scale, scales);
    store_float(encoding.scale_type, bias, biases);
    scales += block_bytes(encoding.scale_type);
    biases += block_bytes(encoding.scale_type);
  }
}

}  // namespace

bool can_encode(const Encoding& encoding) {
  if (encoding.group == 0) return block_of(encoding.type) != nullptr;
  if (encoding.type == TensorType::kMXFP4) return encoding.group == 32;
  return is_affine(encoding.type) &&
         (encoding.group == 32 || encoding.group == 64 || encoding.group == 128);
}

int row_multiple(const Encoding& encoding) {
  return encoding.group > 0 ? encoding.group : block_elements(encoding.type);
}

EncodedBytes encoded_bytes(const Encoding& encoding, uint64_t elements) {
  if (encoding.group == 0) {
    return {elements / static_cast<uint64_t>(block_elements(encoding.type)) *
            static_cast<uint64_t>(block_bytes(encoding.type))};
  }
  const uint64_t groups = elements / static_cast<uint64_t>(encoding.group);
  const uint64_t codes =
      elements * static_cast<uint64_t>(tensor_format(encoding.type).code_bits) / 8;
  if (encoding.type == TensorType::kMXFP4) return {codes, groups, 0};
  const uint64_t each = groups * static_cast<uint64_t>(block_bytes(encoding.scale_type));
  return {codes, each, each};
}

void encode(const Encoding& encoding, std::span<const float> values, const EncodedSpans& out) {
  CHECK(can_encode(encoding), "not a format that is written");
  const EncodedBytes bytes = encoded_bytes(encoding, values.size());
  CHECK(out.values.size() == bytes.values && out.scales.size() == bytes.scales &&
            out.biases.size() == bytes.biases,
        "bytes and values differ");
  if (encoding.group > 0) return encode_groups(encoding, values, out);
  const Block block = block_of(encoding.type);
  auto* to = reinterpret_cast<Byte*>(out.values.data());
  for (size_t at = 0; at < values.size();
       at += static_cast<size_t>(block_elements(encoding.type)), to += block_bytes(encoding.type))
    block(values.data() + at, to);
}

}  // namespace pippin::store
