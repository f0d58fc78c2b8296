// The int8 tile kernels of quantised linear layers, written once over the vector vocabulary of a
// simd_*-inl.h file. Included inside an unnamed namespace by one .cpp file per instruction set;
// hence no includes here.
//
// For one output, whatever the number of rows and threads, over groups in order:
//   acc = fma(integer dot, weight scale * activation scale, acc)
//   acc = fma(minimum, activation sum, acc)
// K-quants take activations with power-of-two scales, except interleaved group pairs
// (group_pair-inl.h). Products with such scales are exact, so the order of factors is free.
// Once a block, then for each group or sub-block:
//   acc -= minimum scale * (integer dot of minimums and block sums * their scale)
//   acc = fma(integer dot * activation scale, weight scale, acc)

/// The format of a tile. Only affine types leave something to the tile.
template <TensorType kType>
inline TileFormat format_of(const TileView& tile) {
  constexpr TileFormat kFormat = tile_format(kType);
  TileFormat format = kFormat;
  format.affine = tile.affine;
  return format;
}

constexpr int kGroupCodes = kGroup * kTileRows;  // bytes of a group's codes, unpacked

/// The table of a tile; of formats without one, any.
template <TensorType kType>
inline WTable table_of(const TileView& tile) {
  if constexpr (tile_format(kType).table) return w_table(*tile.codebook);
  return w_table(kCodebook<kType>);
}

/// Unpacks sub-vector s of a group into unsigned codes. When all eight are unpacked in a row, the
/// compiler loads shared planes once.
template <TensorType kType, int s>
inline W sub_vector(const uint8_t* planes, const WTable& table) {
  constexpr TileFormat kFormat = tile_format(kType);
  if constexpr (kFormat.plane8) return w_load(planes + 64 * s);
  W w;
  if constexpr (kFormat.plane4) {
    w = w_bits < s < 4 ? 0 : -4, 15 > (w_load(planes + 64 * (s % 4)));
    if constexpr (kFormat.plane2)
      w = w_or_bits<4 - s / 2 * 2, 0x30>(w, w_load(planes + 256 + 64 * (s % 2)));
  } else {
    w = w_bits<-(s / 2 * 2), 3>(w_load(planes + 64 * (s % 2)));
  }
  if constexpr (kFormat.plane1) {
    constexpr int kBit = kFormat.plane4 ? 4 : 2;
    w = w_or_bits<kBit - s, 1 << kBit>(
        w, w_load(planes + 256 * kFormat.plane4 + 128 * kFormat.plane2));
  }
  if constexpr (kFormat.table) w = w_lookup(table, w);
  return w;
}

/// Unpacks all eight sub-vectors.
template <TensorType kType>
inline void unpack_codes(const uint8_t* planes, const WTable& table, W* w) {
  w[0] = sub_vector<kType, 0>(planes, table);
  w[1] = sub_vector<kType, 1>(planes, table);
  w[2] = sub_vector<kType, 2>(planes, table);
  w[3] = sub_vector<kType, 3>(planes, table);
  w[4] = sub_vector<kType, 4>(planes, table);
  w[5] = sub_vector<kType, 5>(planes, table);
  w[6] = sub_vector<kType, 6>(planes, table);
  w[7] = sub_vector<kType, 7>(planes, table);
}

/// Unpacks all eight into memory.
template <TensorType kType>
inline void store_codes(const uint8_t* planes, const WTable& table, uint8_t* codes) {
  W w[8];
  unpack_codes<kType>(planes, table, w);
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) w_store(codes + 64 * s, w[s]);
}

/// The initial accumulator of a group's integer sum, or, with n = 4 sub-vectors, of a sub-block's.
template <int n, int kMax, int kOffset, bool kBlocks>
inline I first_sum(const ActGroup& x, int sub_block) {
  constexpr bool kFull = kMax > kUnsignedMax;  // full 8-bit codes lose 128 in add_dots()
  if constexpr ((kOffset >= 0) == kFull)
    return i_set1(0);
  else if constexpr (kFull)
    return i_set1_shifted<7>(-x.negative[0]);  // gives the 128 back
  else if constexpr (n == 4)
    return i_set1_shifted<kOffset>(x.negative[sub_block]);
  else if constexpr (kBlocks)
    return i_set1_shifted<kOffset>(x.negative[0] + x.negative[1]);
  else
    return i_set1_shifted<kOffset>(x.negative[0]);
}

/// The scale of a group of a block: exact, since 2 / 3 as a float times 1.5 rounds to 1.
inline float power_scale(const ActGroup& x) { return x.origin * (2.0f / 3 / (1 << 23)); }

#if !defined(PIPPIN_SCALED_SUMS)
/// Added to the initial accumulator of a sum that scaled() takes.
inline I scaled_origin(const ActGroup&) { return i_set1(0); }
/// Integer sums times the activations' scale, a power of two: exact.
inline F scaled(I sum, const ActGroup& x) { return f_mul(f_from_int(sum), f_set1(power_scale(x))); }
#endif

#if !defined(PIPPIN_SCALED_PAIRS)
/// acc -= unit * (dot product of a block's 8 minimums and its block sums), for kRows activation
/// rows. pairs: the minimums, two of 16 bits in a lane.
template <int kRows>
inline void subtract_pairs(const W* pairs, F unit, const BlockSums* x, F* acc) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    I sum = i_set1(0);
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) sum = i_dpwssd_broadcast(sum, pairs[p], x[r].pairs[p]);
    acc[r] = f_fnma(f_mul(f_from_int(sum), f_set1(x[r].scale)), unit, acc[r]);
  }
}
#endif

/// Reads the scales of a block of groups. In kHalf16 and the kSuperBlock16 kinds each sub-block of
/// 16 has a scale; elsewhere a group's two sub-blocks share one.
template <ScaleKind kKind, int kStepShift = 0>
struct Scales {
  static constexpr bool kSubBlocks16 = kKind == ScaleKind::kSuperBlock16 ||
                                       kKind == ScaleKind::kSuperBlock16Min ||
                                       kKind == ScaleKind::kHalf16;
  static constexpr bool kMin = kKind == ScaleKind::kHalfMin || kKind == ScaleKind::kAffine ||
                               kKind == ScaleKind::kSuperBlock32Min ||
                               kKind == ScaleKind::kSuperBlock16Min;
  static constexpr bool kBlocks = kKind >= ScaleKind::kSuperBlock32;
  static constexpr bool kNegativeMin = kBlocks;

  [[gnu::always_inline]] explicit Scales(const uint8_t* block, const AffineLayout& affine = {})
      : bytes(block) {
    const auto* f16s = reinterpret_cast<const uint16_t*>(block);
    if constexpr (kKind == ScaleKind::kAffine) {
      if (affine.floats == TensorType::kF32) {
        d = f_load(reinterpret_cast<const float*>(block));
        m = f_load(reinterpret_cast<const float*>(block) + kTileRows);
        return;
      }
      if (affine.floats == TensorType::kBF16) {
        d = f_from_bfloat(f16s);
        m = f_from_bfloat(f16s + kTileRows);
        return;
      }
    }
    if constexpr (kKind == ScaleKind::kExponent) {
      d = f_from_exponent(block);
    } else {
      d = f_from_half(f16s);
    }
    if constexpr (kStepShift > 0) d = f_mul(d, f_set1(1.0f / (1 << kStepShift)));
    if constexpr (kMin || kKind == ScaleKind::kHalf16) m = f_from_half(f16s + kTileRows);
    if constexpr (kKind == ScaleKind::kSuperBlock32Min) {
      // To one byte for each number: 8 scales of 16 rows, then 8 minimums.
      const W low0 = w_load(block + 64);
      const W low1 = w_load(block + 128);
      const W high = w_load(block + 192);
      w_store(small, w_or_bits<4, 0x30>(w_bits<0, 15>(low0), high));
      w_store(small + 64, w_or_bits<2, 0x30>(w_bits<0, 15>(low1), high));
      w_store(small + 128, w_or_bits<0, 0x30>(w_bits<-4, 15>(low0), high));
      w_store(small + 192, w_or_bits<-2, 0x30>(w_bits<-4, 15>(low1), high));
    }
    if constexpr (kKind == ScaleKind::kSuperBlock16Min) {
#pragma GCC unroll 4
      for (int i = 0; i < 256; i += 64) {
        const W both = w_load(block + 64 + i);
        w_store(small + i, w_bits<0, 15>(both));
        w_store(small + 256 + i, w_bits<-4, 15>(both));
      }
    }
  }

  /// Scale of sub-block h (0 or 1) of group g of the block.
  F scale(int g, int h) const {
    if constexpr (kKind == ScaleKind::kSuperBlock32)
      return f_mul(d, f_from_s8(bytes + 32 + 16 * g));
    if constexpr (kKind == ScaleKind::kSuperBlock32Min) return f_mul(d, f_from_u8(small + 16 * g));
    if constexpr (kKind == ScaleKind::kSuperBlock16)
      return f_mul(d, f_from_s8(bytes + 32 + 16 * (2 * g + h)));
    if constexpr (kKind == ScaleKind::kSuperBlock16Min)
      return f_mul(d, f_from_u8(small + 16 * (2 * g + h)));
    if constexpr (kKind == ScaleKind::kHalf16) return h == 0 ? d : m;
    return d;
  }
  F minimum(int g, int h) const {
    if constexpr (kKind == ScaleKind::kSuperBlock32Min)
      return f_mul(m, f_from_u8(small + 128 + 16 * g));
    if constexpr (kKind == ScaleKind::kSuperBlock16Min)
      return f_mul(m, f_from_u8(small + 256 + 16 * (2 * g + h)));
    return m;
  }

  /// Scales and minimums of groups 2 p and 2 p + 1, as pairs of 16 bits.
  W scale_pairs(int p) const { return w_pairs(small + 32 * p, small + 16 + 32 * p); }
  W minimum_pairs(int p) const { return w_pairs(small + 128 + 32 * p, small + 144 + 32 * p); }

  /// Subtracts the minimums of the whole block, from kPass rows at a time.
  template <int kPass>
  [[gnu::always_inline]] void subtract_minimums(const BlockSums* x, int rows, F* acc) const {
    static_assert(kKind == ScaleKind::kSuperBlock32Min);
    W pairs[4];
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) pairs[p] = minimum_pairs(p);
#pragma GCC unroll 1
    for (int first = 0; first < rows; first += kPass)
      subtract_pairs<kPass>(pairs, m, x + first, acc + first);
  }

  static constexpr int kSmall = kKind == ScaleKind::kSuperBlock32Min   ? 256
                                : kKind == ScaleKind::kSuperBlock16Min ? 512
                                                                       : 1;
  const uint8_t* bytes;
  F d, m;                             // of kHalf16 the scales of both sub-blocks
  alignas(64) uint8_t small[kSmall];  // unpacked scales, then minimums
};

/// Those of a format's blocks.
template <TensorType kType>
using ScalesOf = Scales<tile_format(kType).scales, tile_format(kType).step_shift>;

/// Scales and minimums of a group's two sub-blocks; the second ones only where they differ.
template <typename S>
struct GroupScales {
  GroupScales(const S& scales, int g) {
    scale[0] = scales.scale(g, 0);
    if constexpr (S::kSubBlocks16) scale[1] = scales.scale(g, 1);
    if constexpr (S::kMin && (S::kSubBlocks16 || !S::kBlocks)) minimum[0] = scales.minimum(g, 0);
    if constexpr (S::kMin && S::kSubBlocks16) minimum[1] = scales.minimum(g, 1);
  }

  /// Adds the integer sum of a group times the scales.
  F add(I sum, const ActGroup& x, F acc) const {
    acc = f_fma(f_from_int(sum), f_mul(scale[0], f_set1(x.scale)), acc);
    if constexpr (S::kMin) acc = f_fma(minimum[0], f_set1(x.sum), acc);
    return acc;
  }

  /// Adds the scaled sum of a K-quant's group, or those of its sub-blocks.
  F add_scaled(F low, F high, const ActGroup& x, F acc) const {
    acc = f_fma(low, scale[0], acc);
    if constexpr (S::kSubBlocks16) acc = f_fma(high, scale[1], acc);
    if constexpr (S::kMin && S::kSubBlocks16) {
      const float unit = power_scale(x);
      acc = f_fma(minimum[0], f_set1(unit * static_cast<float>(x.negative[0])), acc);
      acc = f_fma(minimum[1], f_set1(unit * static_cast<float>(x.negative[1])), acc);
    }
    return acc;
  }

  F scale[2];
  F minimum[2];
};

#if defined(PIPPIN_DOT_BY_CODES)
/// The codes of a group: where they lie, or in memory, unpacked once for many rows.
template <TensorType kType, bool kUnpack>
class GroupCodes {
 public:
  GroupCodes(const uint8_t* planes, const WTable& table) : planes_(planes), table_(table) {
    if constexpr (kUnpack) store_codes<kType>(planes, table, unpacked_);
  }
  /// Those of sub-vector s.
  template <int s>
  W codes() const {
    if constexpr (kUnpack) return w_load(unpacked_ + 64 * s);
    return sub_vector<kType, s>(planes_, table_);
  }

 private:
  const uint8_t* planes_;
  const WTable& table_;
  alignas(64) uint8_t unpacked_[kUnpack ? kGroupCodes : 1];
};

/// Feeds sums with the eight sub-vectors of codes.
template <typename Dots, typename Codes, typename X>
[[gnu::always_inline]] inline void add_all(Dots& sums, const Codes& codes, const X* x) {
  const auto add = [&]<int s>() { sums.template add<s>(codes.template codes<s>(), x); };
  add.template operator()<0>();
  add.template operator()<1>();
  add.template operator()<2>();
  add.template operator()<3>();
  add.template operator()<4>();
  add.template operator()<5>();
  add.template operator()<6>();
  add.template operator()<7>();
}

/// One group times all activation rows, sub-vector by sub-vector. Most registers hold the rows'
/// sums.
template <TensorType kType, int kRows, bool kUnpack, typename S>
[[gnu::always_inline]] inline void group_products(const GroupCodes<kType, kUnpack>& codes,
                                                  const GroupScales<S>& scales, const ActGroup* x,
                                                  F* acc) {
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr int kOffset = kFormat.offset_shift;
  constexpr int kMax = kFormat.code_max;
  constexpr bool kBegun = (kOffset >= 0) == (kMax <= kUnsignedMax);
  constexpr int kSubBlocks16 = S::kSubBlocks16 ? 2 : 1;
  DotRows<kRows, S::kSubBlocks16, kMax, kBegun> dots;
  if constexpr (kBegun) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int h = 0; h < kSubBlocks16; ++h)
        dots.begin(h, r, first_sum<8 / kSubBlocks16, kMax, kOffset, S::kBlocks>(x[r], h));
    }
  }
  add_all(dots, codes, x);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    if constexpr (S::kBlocks) {
      const F low = scaled(dots.total(0, r), x[r]);
      const F high = S::kSubBlocks16 ? scaled(dots.total(1, r), x[r]) : low;
      acc[r] = scales.add_scaled(low, high, x[r], acc[r]);
    } else {
      acc[r] = scales.add(dots.total(0, r), x[r], acc[r]);
    }
  }
}
#else
/// The codes of a group, in registers.
template <TensorType kType, bool kUnpack>
struct GroupCodes {
  GroupCodes(const uint8_t* planes, const WTable& table) {
    unpack_codes<kType>(planes, table, w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) w[s] = w_ready<tile_format(kType).code_max>(w[s]);
  }
  W w[8];
};

/// One group times all activation rows, a few rows at a time. The group's codes stay in registers.
template <TensorType kType, int kRows, bool kUnpack, typename S>
[[gnu::always_inline]] inline void group_products(const GroupCodes<kType, kUnpack>& codes,
                                                  const GroupScales<S>& scales, const ActGroup* x,
                                                  F* acc) {
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr int kMax = kFormat.code_max;
  constexpr int kTurn = kRows % kTurnRows == 0 ? kTurnRows : 1;
  constexpr int kSubBlocks16 = S::kSubBlocks16 ? 2 : 1;
  constexpr int kPart = 8 / kSubBlocks16;  // sub-vectors that share a sum
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r += kTurn) {
    I sums[kSubBlocks16][kTurn];
#pragma GCC unroll 2
    for (int h = 0; h < kSubBlocks16; ++h) {
#pragma GCC unroll 4
      for (int i = 0; i < kTurn; ++i) {
        sums[h][i] = first_sum<kPart, kMax, kFormat.offset_shift, S::kBlocks>(x[r + i], h);
        if constexpr (S::kBlocks) sums[h][i] = i_add(sums[h][i], scaled_origin(x[r + i]));
      }
      add_dots<kPart, kTurn, kMax>(codes.w + kPart * h, x + r, kPart * h, sums[h]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i) {
      const ActGroup& row = x[r + i];
      if constexpr (S::kBlocks) {
        acc[r + i] = scales.add_scaled(scaled(sums[0][i], row),
                                       scaled(sums[kSubBlocks16 - 1][i], row), row, acc[r + i]);
      } else {
        acc[r + i] = scales.add(sums[0][i], row, acc[r + i]);
      }
    }
  }
}
#endif

/// Prefetch distance into the second-level cache. The hardware's own streams end at each page,
/// which costs a memory latency every few groups. The last tiles of a matrix prefetch the first
/// ones of the next, which lie behind them in the arena.
constexpr int kBytesAhead = 16384;
/// Prefetch distance into the first level. It alone would not do: too few misses in flight to cover
/// the memory's latency.
constexpr int kBytesNear = 1024;

/// Prefetches the lines kBytesNear and kBytesAhead after a group. A step is a group's planes and
/// its share of the scales, so the stream goes on into the next tile. Lines of an affine tile are
/// counted with 16-bit scales for each group; its steps are exact.
template <TensorType kType>
class WeightStream {
 public:
  explicit WeightStream(const TileView& tile)
      : at_(tile.planes), step_(group_bytes(format_of<kType>(tile))) {}
  void next_group() {
#pragma GCC unroll 12
    for (int line = 0; line < kLines; line += 64) {
      __builtin_prefetch(at_ + kBytesAhead + line, 0, 2);
      __builtin_prefetch(at_ + kBytesNear + line, 0, 3);
    }
    at_ += step_;
  }

 private:
  static constexpr int group_bytes(const TileFormat& format) {
    return format.group_plane_bytes() + format.block_scale_bytes() / format.groups_per_block();
  }
  static constexpr int kLines = group_bytes(tile_format(kType));
  const uint8_t* at_;
  int step_;
};

/// The rows of a kernel that takes any multiple of kPassRows, up to kRowsMax.
constexpr int kManyRows = 0;

/// The products of a tile with kRows activation rows. With many rows, sums lie in memory: each
/// group's codes are unpacked there once, and kPassRows rows at a time go over them.
template <TensorType kType, int kRows>
void tile_kernel(const TileView& tile, int64_t groups, const ActRows& activations, float* out,
                 int64_t stride) {
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr bool kMany = kRows == kManyRows;
  constexpr int kPass = kMany ? kPassRows : kRows;
  constexpr bool kUnpack = kMany && !kFormat.plane8;
  const int rows = kMany ? activations.rows : kRows;
  const ActGroup* x = activations.groups;
  [[maybe_unused]] const BlockSums* sums = activations.block_sums;
  using S = ScalesOf<kType>;
  const int per_block = format_of<kType>(tile).groups_per_block();
  const int scale_step = format_of<kType>(tile).block_scale_bytes();
  const WTable table = table_of<kType>(tile);
  const uint8_t* planes = tile.planes;
  const uint8_t* scale_bytes = tile.scales;
  WeightStream<kType> stream(tile);
  alignas(64) F acc[kMany ? kRowsMax : kRows];  // in registers, but of many rows
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) acc[r] = f_zero();
  for (; groups > 0; groups -= per_block) {
    const S scales(scale_bytes, tile.affine);
    if constexpr (kFormat.scales == ScaleKind::kSuperBlock32Min) {
      scales.template subtract_minimums<kPass>(sums, rows, acc);
      sums += rows;
    }
    for (int g = 0; g < per_block; ++g) {
      stream.next_group();
      const GroupScales<S> group_scales(scales, g);
      const GroupCodes<kType, kUnpack> codes(planes, table);
#pragma GCC unroll 1
      for (int first = 0; first < rows; first += kPass)
        group_products<kType, kPass>(codes, group_scales, x + first, acc + first);
      planes += kFormat.group_plane_bytes();
      x += rows;
    }
    scale_bytes += scale_step;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) f_store(out + stride * r, acc[r]);
}
