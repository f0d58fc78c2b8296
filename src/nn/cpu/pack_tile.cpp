// From the model file's blocks to tiles: codes keep their values, only their places change. Of grid
// formats the grid's points are written out; ternary formats become affine ones.
// Source: the block layouts of the GGUF specification and GGML's block definitions; MLX's quantize.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/block_codes.h"
#include "base/float_formats.h"
#include "nn/cpu/packed_linear.h"

namespace pippin::nn::cpu {
namespace {

// One row's block, taken apart: codes by column, scales in the order of ScaleKind.
struct RowBlock {
  uint8_t codes[256];
  uint8_t f16s[4];    // d, then m or dmin
  uint8_t small[32];  // exponents, 6-bit or 8-bit scales, then 6-bit minimums; f16 scales of 16
};

void nibbles_by_half(const uint8_t* in, uint8_t* codes) {  // columns j low, j + 16 high
  for (int j = 0; j < 16; ++j) codes[j] = in[j] & 15;
  for (int j = 0; j < 16; ++j) codes[16 + j] = in[j] >> 4;
}

void fifth_bits(const uint8_t* in, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, in, 4);
  for (int j = 0; j < 32; ++j) codes[j] |= static_cast<uint8_t>((bits >> j & 1) << 4);
}

void nibbles_by_pair(const uint8_t* in, uint8_t* codes) {  // groups 2c low, 2c + 1 high of 32 bytes
  for (int c = 0; c < 4; ++c) {
    for (int j = 0; j < 32; ++j) codes[64 * c + j] = in[32 * c + j] & 15;
    for (int j = 0; j < 32; ++j) codes[64 * c + 32 + j] = in[32 * c + j] >> 4;
  }
}

// Q4_K's and Q5_K's 12 bytes of eight 6-bit scales and eight 6-bit minimums.
void scales_and_minimums(const uint8_t* in, uint8_t* scales, uint8_t* minimums) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = in[j] & 63;
    minimums[j] = in[j + 4] & 63;
    scales[j + 4] = static_cast<uint8_t>((in[j + 8] & 15) | in[j] >> 6 << 4);
    minimums[j + 4] = static_cast<uint8_t>(in[j + 8] >> 4 | in[j + 4] >> 6 << 4);
  }
}

// Q3_K's 12 bytes of sixteen 6-bit scales, biased by 32.
void scales_q3(const uint8_t* in, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? in[i] & 15 : in[i - 8] >> 4;
    const int high = in[8 + i % 4] >> (2 * (i / 4)) & 3;
    out[i] = static_cast<uint8_t>((low | high << 4) - 32);
  }
}

void two_bits(const uint8_t* in, uint8_t* codes) {  // Q2_K and Q3_K
  for (int half = 0; half < 2; ++half) {
    for (int j = 0; j < 4; ++j) {
      for (int l = 0; l < 32; ++l)
        codes[128 * half + 32 * j + l] = in[32 * half + l] >> (2 * j) & 3;
    }
  }
}

void codes_q6(const uint8_t* low, const uint8_t* high, uint8_t* codes) {
  for (int half = 0; half < 2; ++half, low += 64, high += 32, codes += 128) {
    for (int l = 0; l < 32; ++l) {
      codes[l] = static_cast<uint8_t>((low[l] & 15) | (high[l] & 3) << 4);
      codes[l + 32] = static_cast<uint8_t>((low[l + 32] & 15) | (high[l] >> 2 & 3) << 4);
      codes[l + 64] = static_cast<uint8_t>(low[l] >> 4 | (high[l] >> 4 & 3) << 4);
      codes[l + 96] = static_cast<uint8_t>(low[l + 32] >> 4 | (high[l] >> 6) << 4);
    }
  }
}

void scales_iq4_xs(const uint8_t* in, uint8_t* out) {  // in: u16 high bits, 4 bytes low
  const int high = in[0] | in[1] << 8;
  for (int g = 0; g < 8; ++g) {
    const int low = in[2 + g / 2] >> (4 * (g % 2)) & 15;
    out[g] = static_cast<uint8_t>((low | (high >> (2 * g) & 3) << 4) - 32);
  }
}

void read_nvfp4(const uint8_t* in, RowBlock& out) {
  for (int i = 0; i < 4; ++i) {
    const uint16_t scale = float_to_half(half_ue4m3(in[i]));  // exact
    std::memcpy(out.small + 2 * i, &scale, 2);
    const uint8_t* qs = in + 4 + 8 * i;
    for (int j = 0; j < 8; ++j) out.codes[16 * i + j] = qs[j] & 15;
    for (int j = 0; j < 8; ++j) out.codes[16 * i + 8 + j] = qs[j] >> 4;
  }
}

void read_grid(TensorType type, const uint8_t* in, RowBlock& out) {
  GridBlock block;
  read_grid_block(type, in, block);
  std::memcpy(out.f16s, &block.d, 2);
  std::memcpy(out.codes, block.code, 256);
  const int step = tile_format(type).scales == ScaleKind::kSuperBlock32 ? 2 : 1;
  for (int i = 0; i < 16; i += step) out.small[i / step] = block.scale[i];
}

// d * (code - 1) as d * code + -d.
void read_ternary(TensorType type, const uint8_t* in, RowBlock& out) {
  TernaryBlock block;
  read_ternary_block(type, in, block);
  const auto bias = static_cast<uint16_t>(block.d ^ 0x8000);
  std::memcpy(out.f16s, &block.d, 2);
  std::memcpy(out.f16s + 2, &bias, 2);
  std::copy_n(block.code, block_elements(type), out.codes);
}

template <TensorType kType>
void read_block(const uint8_t* in, RowBlock& out) {
  if constexpr (is_grid(kType)) return read_grid(kType, in, out);
  if constexpr (is_ternary(kType)) return read_ternary(kType, in, out);
  switch (kType) {
    case TensorType::kQ4_0:
    case TensorType::kIQ4_NL:
      std::memcpy(out.f16s, in, 2);
      return nibbles_by_half(in + 2, out.codes);
    case TensorType::kQ4_1:
      std::memcpy(out.f16s, in, 4);
      return nibbles_by_half(in + 4, out.codes);
    case TensorType::kQ5_0:
      std::memcpy(out.f16s, in, 2);
      nibbles_by_half(in + 6, out.codes);
      return fifth_bits(in + 2, out.codes);
    case TensorType::kQ5_1:
      std::memcpy(out.f16s, in, 4);
      nibbles_by_half(in + 8, out.codes);
      return fifth_bits(in + 4, out.codes);
    case TensorType::kQ8_0:
      std::memcpy(out.f16s, in, 2);
      for (int j = 0; j < 32; ++j) out.codes[j] = in[2 + j] ^ 0x80;
      return;
    case TensorType::kMXFP4:
      out.small[0] = in[0];
      return nibbles_by_half(in + 1, out.codes);
    case TensorType::kNVFP4:
      return read_nvfp4(in, out);
    case TensorType::kQ2_K:
      std::memcpy(out.small, in, 16);
      std::memcpy(out.f16s, in + 80, 4);
      return two_bits(in + 16, out.codes);
    case TensorType::kQ3_K:
      two_bits(in + 32, out.codes);
      for (int k = 0; k < 256; ++k)
        out.codes[k] |= static_cast<uint8_t>((in[k % 32] >> (k / 32) & 1) << 2);
      scales_q3(in + 96, out.small);
      std::memcpy(out.f16s, in + 108, 2);
      return;
    case TensorType::kQ4_K:
      std::memcpy(out.f16s, in, 4);
      scales_and_minimums(in + 4, out.small, out.small + 8);
      return nibbles_by_pair(in + 16, out.codes);
    case TensorType::kQ5_K:
      std::memcpy(out.f16s, in, 4);
      scales_and_minimums(in + 4, out.small, out.small + 8);
      nibbles_by_pair(in + 48, out.codes);
      for (int k = 0; k < 256; ++k)
        out.codes[k] |= static_cast<uint8_t>((in[16 + k % 32] >> (k / 32) & 1) << 4);
      return;
    case TensorType::kQ6_K:
      codes_q6(in, in + 128, out.codes);
      std::memcpy(out.small, in + 192, 16);
      std::memcpy(out.f16s, in + 208, 2);
      return;
    case TensorType::kIQ4_XS:
      std::memcpy(out.f16s, in, 2);
      scales_iq4_xs(in + 2, out.small);
      for (int g = 0; g < 8; ++g) nibbles_by_half(in + 8 + 16 * g, out.codes + 32 * g);
      return;
    default:  // floats, and codes whose scales lie apart
      return;
  }
}

struct Place {
  int lane;
  int vectors;  // 0: the pair's first planes; 1: its second ones
};
Place pair_place(int row, int which) { return {row / 4 * 4 + row % 2 * 2 + which, row % 4 / 2}; }

// Swaps sub-blocks of 16 in each pair of groups: the two first ones come together, then the two
// second ones.
void pair_sub_blocks(RowBlock* rows) {
  constexpr int kSubBlock = kGroup / 2;
  for (int r = 0; r < kTileRows; ++r) {
    uint8_t* codes = rows[r].codes;
    for (int p = 0; p < kSuperGroups / 2; ++p, codes += 2 * kGroup)
      std::swap_ranges(codes + kSubBlock, codes + 2 * kSubBlock, codes + 2 * kSubBlock);
  }
}

// Packs four consecutive codes of sub-vector s per lane. Each plane takes its bits of all eight
// sub-vectors of the lane's 32 codes.
template <TensorType kType>
void write_codes(const uint8_t* codes, int row, uint8_t* planes) {
  constexpr TileFormat kFormat = tile_format(kType);
  uint32_t sub[8];
  std::memcpy(sub, codes, sizeof sub);
  const auto put = [&](int vector, uint32_t four) {
    std::memcpy(planes + 64 * vector + 4 * row, &four, 4);
  };
  if constexpr (kFormat.plane8) {
    for (int s = 0; s < 8; ++s) put(s, sub[s]);
    return;
  }
  int vector = 0;
  int bit = 0;
  if constexpr (kFormat.plane4) {
    for (int t = 0; t < 4; ++t) put(t, (sub[t] & 0x0f0f0f0f) | (sub[t + 4] & 0x0f0f0f0f) << 4);
    vector = 4;
    bit = 4;
  }
  if constexpr (kFormat.plane2) {
    for (int t = 0; t < 2; ++t) {
      uint32_t four = 0;
      for (int i = 0; i < 4; ++i) four |= (sub[t + 2 * i] >> bit & 0x03030303) << (2 * i);
      put(vector + t, four);
    }
    vector += 2;
    bit += 2;
  }
  if constexpr (kFormat.plane1) {
    uint32_t four = 0;
    for (int s = 0; s < 8; ++s) four |= (sub[s] >> bit & 0x01010101) << s;
    put(vector, four);
  }
}

// The scales of a tile's block. Of those that a file's block has several of, `part` is the number.
void write_scales(ScaleKind kind, const RowBlock* rows, int part, uint8_t* out) {
  const auto half = [&](int which, uint8_t* to) {
    for (int r = 0; r < kTileRows; ++r) std::memcpy(to + 2 * r, rows[r].f16s + 2 * which, 2);
  };
  const auto bytes = [&](int count, uint8_t* to) {
    for (int i = 0; i < count; ++i) {
      for (int r = 0; r < kTileRows; ++r) to[kTileRows * i + r] = rows[r].small[i];
    }
  };
  switch (kind) {
    case ScaleKind::kNone:
      return;
    case ScaleKind::kExponent:
      return bytes(1, out);
    case ScaleKind::kHalf:
      return half(0, out);
    case ScaleKind::kHalfMin:
    case ScaleKind::kAffine:  // of ternary formats: f16
      half(0, out);
      return half(1, out + 32);
    case ScaleKind::kHalf16:
      for (int h = 0; h < 2; ++h, out += 32)
        for (int r = 0; r < kTileRows; ++r)
          std::memcpy(out + 2 * r, rows[r].small + 2 * (2 * part + h), 2);
      return;
    case ScaleKind::kSuperBlock32:
      half(0, out);
      return bytes(8, out + 32);
    case ScaleKind::kSuperBlock16:
      half(0, out);
      return bytes(16, out + 32);
    case ScaleKind::kSuperBlock16Min:
      half(0, out);
      half(1, out + 32);
      return bytes(16, out + 64);
    case ScaleKind::kSuperBlock32Min: {
      half(0, out);
      half(1, out + 32);
      uint8_t six[256];  // 8 scales, 8 minimums, 16 rows each
      bytes(16, six);
      for (int i = 0; i < 128; ++i)
        out[64 + i] = static_cast<uint8_t>((six[i] & 15) | (six[128 + i] & 15) << 4);
      for (int i = 0; i < 64; ++i) {
        out[192 + i] = static_cast<uint8_t>(six[i] >> 4 | six[64 + i] >> 4 << 2 |
                                            six[128 + i] >> 4 << 4 | six[192 + i] >> 4 << 6);
      }
      return;
    }
  }
}

// Number `index` of each row, side by side.
template <int kBytes>
uint8_t* gather(const std::array<const std::byte*, kTileRows>& rows, int count, int64_t index,
                uint8_t* out) {
  for (int r = 0; r < kTileRows; ++r, out += kBytes) {
    if (r < count) {
      std::memcpy(out, rows[static_cast<size_t>(r)] + index * kBytes, kBytes);
    } else {
      std::memset(out, 0, kBytes);
    }
  }
  return out;
}

template <int kBytes>
void pack_floats(const TileSource& source, int64_t columns, uint8_t* planes) {
  for (int64_t k = 0; k < columns; ++k)
    planes = gather<kBytes>(source.codes, source.rows, k, planes);
}

// Prefetches the next blocks of all rows while these are packed: the hardware does not follow so
// many streams.
template <TensorType kType>
void pack_blocks(const TileSource& source, int64_t columns, uint8_t* planes, uint8_t* scales) {
  constexpr TileFormat kFormat = tile_format(kType, affine_layout(kType, {}));
  constexpr int kColumns = block_elements(kType), kBytes = block_bytes(kType);
  constexpr int kBytesAhead = std::max(256, 2 * kBytes);
  RowBlock blocks[kTileRows] = {};
  for (int64_t b = 0; b < columns / kColumns; ++b) {
    for (int r = 0; r < source.rows; ++r) {
      const auto* in =
          reinterpret_cast<const uint8_t*>(source.codes[static_cast<size_t>(r)]) + b * kBytes;
      for (int line = 0; line < kBytes; line += 64) __builtin_prefetch(in + kBytesAhead + line);
      read_block<kType>(in, blocks[r]);
    }
    if constexpr (kFormat.activations() == ActQuantisation::kSubBlocks16) pair_sub_blocks(blocks);
    for (int g = 0; g < kColumns / kGroup; ++g) {
      for (int r = 0; r < kTileRows; ++r) {
        const Place at = kFormat.interleaved ? pair_place(r, g % 2) : Place{r, 0};
        write_codes<kType>(blocks[r].codes + kGroup * g, at.lane,
                           planes + at.vectors * kFormat.group_plane_bytes());
      }
      if (!kFormat.interleaved || g % 2 == 1)
        planes += (kFormat.interleaved + 1) * kFormat.group_plane_bytes();
    }
    for (int part = 0; part < kColumns / kFormat.block_columns(); ++part) {
      write_scales(kFormat.scales, blocks, part, scales);
      scales += kFormat.block_scale_bytes();
    }
  }
}

// ---- scales apart from the codes ----

// Codes of a little-endian bit stream: eight of them are a whole number of bytes at every width.
template <int kBits>
void read_stream(const uint8_t* in, int count, uint8_t* codes) {
  for (int k = 0; k < count; k += 8, in += kBits) {
    uint64_t eight = 0;
    std::memcpy(&eight, in, kBits);
    for (int i = 0; i < 8; ++i)
      codes[k + i] = static_cast<uint8_t>(eight >> (kBits * i) & ((1 << kBits) - 1));
  }
}

template <TensorType kType>
void pack_stream(const AffineLayout& affine, const TileSource& source, int64_t columns,
                 uint8_t* planes, uint8_t* scales) {
  constexpr int kBits = tensor_format(kType).code_bits;
  const TileFormat format = tile_format(kType, affine);
  const bool biased = format.scales == ScaleKind::kAffine;
  const auto gather_scales = !biased                     ? gather<1>
                             : affine.float_bytes() == 2 ? gather<2>
                                                         : gather<4>;
  const int block = format.block_columns();
  uint8_t codes[kTileRows][kGroup] = {};
  for (int64_t column = 0; column < columns; column += kGroup) {
    for (size_t r = 0; r < static_cast<size_t>(source.rows); ++r) {
      const auto* row = reinterpret_cast<const uint8_t*>(source.codes[r]);
      read_stream<kBits>(row + column / 8 * kBits, kGroup, codes[r]);
    }
    for (int r = 0; r < kTileRows; ++r) write_codes<kType>(codes[r], r, planes);
    planes += format.group_plane_bytes();
    if (column % block != 0) continue;
    scales = gather_scales(source.scales, source.rows, column / block, scales);
    if (biased) scales = gather_scales(source.biases, source.rows, column / block, scales);
  }
}

template <TensorType kType>
void pack_typed(const AffineLayout& affine, const TileSource& source, int64_t columns,
                uint8_t* planes, uint8_t* scales) {
  constexpr TileFormat kFormat = tile_format(kType);
  if constexpr (kFormat.is_float())
    return pack_floats<kFormat.float_bytes>(source, columns, planes);
  if constexpr (tensor_format(kType).code_bits != 0) {
    if (source.scales[0] != nullptr)
      return pack_stream<kType>(affine, source, columns, planes, scales);
  }
  if constexpr (!is_affine(kType) && !kFormat.is_float())
    pack_blocks<kType>(source, columns, planes, scales);
}

// One packer for each type: the format is a constant where its loops are compiled.
template <size_t... kTypes>
constexpr auto packers(std::index_sequence<kTypes...>) {
  return std::array{pack_typed<static_cast<TensorType>(kTypes)>...};
}
constexpr auto kPackers = packers(std::make_index_sequence<kTensorTypes>());

bool known_layout(const QuantisationParameters& mlx) {
  return (mlx.group == 32 || mlx.group == 64 || mlx.group == 128) &&
         (mlx.scale_type == TensorType::kF16 || mlx.scale_type == TensorType::kBF16 ||
          mlx.scale_type == TensorType::kF32);
}

template <size_t... kTypes>
constexpr auto codebooks(std::index_sequence<kTypes...>) {
  return std::array{tile_format(static_cast<TensorType>(kTypes)).table
                        ? &kCodebook<static_cast<TensorType>(kTypes)>
                        : nullptr...};
}
constexpr auto kCodebooks = codebooks(std::make_index_sequence<kTensorTypes>());

}  // namespace

const Codebook* codebook_of(TensorType type) { return kCodebooks[static_cast<size_t>(type)]; }

FileRow file_row(TensorType type, const QuantisationParameters& mlx, int64_t columns) {
  const auto stream = static_cast<size_t>(columns / 8 * tensor_format(type).code_bits);
  if (is_affine(type)) {
    if (!known_layout(mlx) || columns % mlx.group != 0) return {};
    const auto scales = static_cast<size_t>(columns / mlx.group) *
                        static_cast<size_t>(affine_layout(type, mlx).float_bytes());
    return {stream, scales, scales};
  }
  const int block = block_elements(type);
  if (columns % block != 0) return {};
  const auto blocks = static_cast<size_t>(columns / block);
  if (type == TensorType::kMXFP4 && !mlx.scales.empty()) {
    if (mlx.group != block) return {};
    return {stream, blocks, 0};
  }
  return {blocks * static_cast<size_t>(block_bytes(type)), 0, 0};
}

void pack_tile(TensorType type, const AffineLayout& affine, const TileSource& source,
               int64_t columns, uint8_t* planes, uint8_t* scales) {
  kPackers[static_cast<size_t>(type)](affine, source, columns, planes, scales);
}

}  // namespace pippin::nn::cpu
