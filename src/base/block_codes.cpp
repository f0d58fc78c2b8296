#include "base/block_codes.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/grid_tables.h"

namespace pippin {
namespace {

uint16_t load_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

uint32_t load_u32(const uint8_t* p) {
  return load_u16(p) | static_cast<uint32_t>(load_u16(p + 2)) << 16;
}

uint8_t odd(uint32_t n) { return static_cast<uint8_t>(2 * n + 1); }

// Seven signs of eight: the last one makes their number even.
uint32_t even_signs(uint32_t seven) {
  return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// Codes of eight columns: a grid's point, and a bit for each that is negative.
void put_eight(uint16_t point, uint32_t negative, uint8_t* codes) {
  for (int j = 0; j < 8; ++j)
    codes[j] = static_cast<uint8_t>((point >> (2 * j) & 3) | (negative >> j & 1) << 2);
}

// The same of two points of four columns.
void put_fours(uint16_t first, uint16_t second, uint32_t negative, uint8_t* codes) {
  for (int j = 0; j < 8; ++j)
    codes[j] = static_cast<uint8_t>(((j < 4 ? first : second) >> (4 * (j % 4)) & 15) |
                                    (negative >> j & 1) << 3);
}

// Scales of 32 columns, for both of their halves.
void put_scale(uint32_t n, int group, GridBlock& out) {
  out.scale[2 * group] = out.scale[2 * group + 1] = odd(n);
}

void read_iq2_xxs(const uint8_t* in, GridBlock& out) {
  for (int g = 0; g < 8; ++g) {
    const uint8_t* points = in + 2 + 8 * g;
    const uint32_t signs = load_u32(points + 4);
    put_scale(signs >> 28, g, out);
    for (int l = 0; l < 4; ++l)
      put_eight(kGridIQ2XXS[points[l]], even_signs(signs >> (7 * l) & 127),
                out.code + 32 * g + 8 * l);
  }
}

// A nibble for each 16 columns.
void put_nibble_scales(const uint8_t* in, GridBlock& out) {
  for (int i = 0; i < 16; ++i) out.scale[i] = odd(in[i / 2] >> (4 * (i % 2)) & 15u);
}

void read_iq2_xs(const uint8_t* in, GridBlock& out) {
  put_nibble_scales(in + 66, out);
  for (int i = 0; i < 32; ++i) {
    const uint32_t word = load_u16(in + 2 + 2 * i);
    put_eight(kGridIQ2XS[word & 511], even_signs(word >> 9), out.code + 8 * i);
  }
}

void read_iq2_s(const uint8_t* in, GridBlock& out) {
  const uint8_t *low = in + 2, *signs = in + 34, *high = in + 66;
  put_nibble_scales(in + 74, out);
  for (int i = 0; i < 32; ++i) {
    const uint32_t upper = high[i / 4] >> (2 * (i % 4)) & 3u;
    put_eight(kGridIQ2S[low[i] | upper << 8], signs[i], out.code + 8 * i);
  }
}

void read_iq3_xxs(const uint8_t* in, GridBlock& out) {
  const uint8_t* points = in + 2;
  for (int g = 0; g < 8; ++g) {
    const uint32_t signs = load_u32(in + 66 + 4 * g);
    put_scale(signs >> 28, g, out);
    for (int l = 0; l < 4; ++l, points += 2)
      put_fours(kGridIQ3XXS[points[0]], kGridIQ3XXS[points[1]], even_signs(signs >> (7 * l) & 127),
                out.code + 32 * g + 8 * l);
  }
}

void read_iq3_s(const uint8_t* in, GridBlock& out) {
  const uint8_t *low = in + 2, *high = in + 66, *signs = in + 74, *scales = in + 106;
  for (int g = 0; g < 8; ++g) put_scale(scales[g / 2] >> (4 * (g % 2)) & 15u, g, out);
  const auto point = [&](int i) {
    return kGridIQ3S[low[i] | static_cast<uint32_t>(high[i / 8] >> (i % 8) & 1) << 8];
  };
  for (int i = 0; i < 32; ++i)
    put_fours(point(2 * i), point(2 * i + 1), signs[i], out.code + 8 * i);
}

// The grid's points are moved one way or the other.
void read_iq1_s(const uint8_t* in, GridBlock& out) {
  for (int g = 0; g < 8; ++g) {
    const uint8_t* low = in + 2 + 4 * g;
    const uint32_t high = load_u16(in + 34 + 2 * g);
    put_scale(high >> 12 & 7, g, out);
    for (int l = 0; l < 4; ++l)
      put_eight(kGridIQ1S[low[l] | (high >> (3 * l) & 7) << 8], high >> 15 ? 255 : 0,
                out.code + 32 * g + 8 * l);
  }
}

void read_iq1_m(const uint8_t* in, GridBlock& out) {
  const uint8_t *low = in, *high = in + 32, *scales = in + 48;
  uint32_t d = 0;
  for (int i = 0; i < 4; ++i) d |= static_cast<uint32_t>(scales[2 * i + 1] >> 4) << (4 * i);
  out.d = static_cast<uint16_t>(d);
  for (int i = 0; i < 16; ++i)
    out.scale[i] = odd(static_cast<uint32_t>(load_u16(scales + i / 4 * 2)) >> (3 * (i % 4)) & 7);
  for (int i = 0; i < 32; ++i) {
    const uint32_t nibble = high[i / 2] >> (4 * (i % 2)) & 15u;
    put_eight(kGridIQ1S[low[i] | (nibble & 7) << 8], nibble >> 3 ? 255 : 0, out.code + 8 * i);
  }
}

// Digits of base 3, five in a byte as a fraction of 256. `bytes` of them give their first digits,
// then their second ones, and so on.
uint8_t* put_digits(const uint8_t* in, int bytes, int digits, uint8_t* codes) {
  constexpr uint8_t kPowersOf3[] = {1, 3, 9, 27, 81};
  for (int digit = 0; digit < digits; ++digit) {
    for (int i = 0; i < bytes; ++i) {
      const auto rest = static_cast<uint8_t>(in[i] * kPowersOf3[digit]);
      *codes++ = static_cast<uint8_t>(rest * 3 >> 8);
    }
  }
  return codes;
}

}  // namespace

void read_grid_block(TensorType type, const uint8_t* in, GridBlock& out) {
  out.d = load_u16(in);
  switch (type) {
    case TensorType::kIQ1_S:
      return read_iq1_s(in, out);
    case TensorType::kIQ1_M:
      return read_iq1_m(in, out);
    case TensorType::kIQ2_XXS:
      return read_iq2_xxs(in, out);
    case TensorType::kIQ2_XS:
      return read_iq2_xs(in, out);
    case TensorType::kIQ2_S:
      return read_iq2_s(in, out);
    case TensorType::kIQ3_XXS:
      return read_iq3_xxs(in, out);
    case TensorType::kIQ3_S:
      return read_iq3_s(in, out);
    default:
      CHECK(false, "not a grid format");
  }
}

void read_ternary_block(TensorType type, const uint8_t* in, TernaryBlock& out) {
  switch (type) {
    case TensorType::kTQ1_0: {
      uint8_t* codes = put_digits(in, 32, 5, out.code);
      codes = put_digits(in + 32, 16, 5, codes);
      put_digits(in + 48, 4, 4, codes);
      out.d = load_u16(in + 52);
      return;
    }
    case TensorType::kTQ2_0:
      for (int k = 0; k < 256; ++k)
        out.code[k] = in[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
      out.d = load_u16(in + 64);
      return;
    case TensorType::kQ1_0:  // the sign
      for (int k = 0; k < 128; ++k) out.code[k] = in[2 + k / 8] >> (k % 8) & 1 ? 2 : 0;
      out.d = load_u16(in);
      return;
    case TensorType::kQ2_0:
      for (int k = 0; k < 64; ++k) out.code[k] = in[2 + k / 4] >> (2 * (k % 4)) & 3;
      out.d = load_u16(in);
      return;
    default:
      CHECK(false, "not a ternary format");
  }
}

}  // namespace pippin
