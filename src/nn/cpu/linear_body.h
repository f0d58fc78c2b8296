// The tile kernels of quantised and float linear layers, written once over the vector vocabulary of a simd_*.h file.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes here.
//
// The value of one output is, whatever the number of rows and threads: over groups in order,
//   acc = fma(integer dot, weight scale * activation scale, acc), then acc = fma(minimum, activation sum, acc).

template <WeightType kType>
constexpr Codebook kCodebook = codebook(kType);

/// Unpacks the eight sub-vectors of a group into unsigned codes.
template <WeightType kType>
inline void unpack_codes(const uint8_t* planes, const WTable& table, W* w) {
  constexpr TileFormat kFormat = tile_format(kType);
  if constexpr (kFormat.plane8) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) w[s] = w_load(planes + 64 * s);
    return;
  }
  if constexpr (kFormat.plane4) {
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t) {
      const W pair = w_load(planes + 64 * t);
      w[t] = w_bits<0, 15>(pair);
      w[t + 4] = w_bits<-4, 15>(pair);
    }
    if constexpr (kFormat.table) {
#pragma GCC unroll 8
      for (int s = 0; s < 8; ++s) w[s] = w_lookup(table, w[s]);
    }
  }
  if constexpr (kFormat.plane2 && kFormat.plane4) {  // above the nibble
    const uint8_t* high = planes + 256;
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      const W bits = w_load(high + 64 * t);
      w[t] = w_or_bits<4, 0x30>(w[t], bits);
      w[t + 2] = w_or_bits<2, 0x30>(w[t + 2], bits);
      w[t + 4] = w_or_bits<0, 0x30>(w[t + 4], bits);
      w[t + 6] = w_or_bits<-2, 0x30>(w[t + 6], bits);
    }
  } else if constexpr (kFormat.plane2) {
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      const W bits = w_load(planes + 64 * t);
      w[t] = w_bits<0, 3>(bits);
      w[t + 2] = w_bits<-2, 3>(bits);
      w[t + 4] = w_bits<-4, 3>(bits);
      w[t + 6] = w_bits<-6, 3>(bits);
    }
  }
  if constexpr (kFormat.plane1) {
    constexpr int kBit = kFormat.plane4 ? 4 : 2;
    const W bits = w_load(planes + 256 * kFormat.plane4 + 128 * kFormat.plane2);
    w[0] = w_or_bits<kBit, 1 << kBit>(w[0], bits);
    w[1] = w_or_bits<kBit - 1, 1 << kBit>(w[1], bits);
    w[2] = w_or_bits<kBit - 2, 1 << kBit>(w[2], bits);
    w[3] = w_or_bits<kBit - 3, 1 << kBit>(w[3], bits);
    w[4] = w_or_bits<kBit - 4, 1 << kBit>(w[4], bits);
    w[5] = w_or_bits<kBit - 5, 1 << kBit>(w[5], bits);
    w[6] = w_or_bits<kBit - 6, 1 << kBit>(w[6], bits);
    w[7] = w_or_bits<kBit - 7, 1 << kBit>(w[7], bits);
  }
}

/// Reads the scales of a block of groups. A half group has its own scale in the kSuper16 kinds; elsewhere both halves share it.
template <ScaleKind kKind>
struct Scales {
  static constexpr bool kHalves = kKind == ScaleKind::kSuper16 || kKind == ScaleKind::kSuper16Min;
  static constexpr bool kMin =
      kKind == ScaleKind::kHalfMin || kKind == ScaleKind::kSuper32Min || kKind == ScaleKind::kSuper16Min;
  static constexpr bool kNegativeMin = kKind != ScaleKind::kHalfMin;

  explicit Scales(const uint8_t* block) : bytes(block) {
    const auto* halves = reinterpret_cast<const uint16_t*>(block);
    if constexpr (kKind == ScaleKind::kExponent) {
      d = f_from_exponent(block);
    } else {
      d = f_from_half(halves);
    }
    if constexpr (kMin) m = f_from_half(halves + kTileRows);
    if constexpr (kKind == ScaleKind::kSuper32Min) {
      // 16 vectors of 6-bit numbers: 8 scales, then 8 minimums. Low nibbles of vectors 0-7 pair with 8-15; two high bits of each quarter follow.
      const W low0 = w_load(block + 64);
      const W low1 = w_load(block + 128);
      const W high = w_load(block + 192);
      w_store(six, w_or_bits<4, 0x30>(w_bits<0, 15>(low0), high));
      w_store(six + 64, w_or_bits<2, 0x30>(w_bits<0, 15>(low1), high));
      w_store(six + 128, w_or_bits<0, 0x30>(w_bits<-4, 15>(low0), high));
      w_store(six + 192, w_or_bits<-2, 0x30>(w_bits<-4, 15>(low1), high));
    }
    if constexpr (kKind == ScaleKind::kSuper16Min) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const W both = w_load(block + 64 + 64 * i);
        w_store(low4 + 64 * i, w_bits<0, 15>(both));
        w_store(high4 + 64 * i, w_bits<-4, 15>(both));
      }
    }
  }

  /// Scale of half h of group g of the block.
  F scale(int g, int h) const {
    if constexpr (kKind == ScaleKind::kSuper32) return f_mul(d, f_from_s8(bytes + 32 + 16 * g));
    if constexpr (kKind == ScaleKind::kSuper32Min) return f_mul(d, f_from_u8(six + 16 * g));
    if constexpr (kKind == ScaleKind::kSuper16) return f_mul(d, f_from_s8(bytes + 32 + 16 * (2 * g + h)));
    if constexpr (kKind == ScaleKind::kSuper16Min) return f_mul(d, f_from_u8(low4 + 16 * (2 * g + h)));
    return d;
  }
  F minimum(int g, int h) const {
    if constexpr (kKind == ScaleKind::kSuper32Min) return f_mul(m, f_from_u8(six + 128 + 16 * g));
    if constexpr (kKind == ScaleKind::kSuper16Min) return f_mul(m, f_from_u8(high4 + 16 * (2 * g + h)));
    return m;
  }

  const uint8_t* bytes;
  F d, m;
  alignas(64) uint8_t six[kKind == ScaleKind::kSuper32Min ? 256 : 1];
  alignas(64) uint8_t low4[kKind == ScaleKind::kSuper16Min ? 256 : 1];
  alignas(64) uint8_t high4[kKind == ScaleKind::kSuper16Min ? 256 : 1];
};

template <bool kNegative>
inline F add_minimum(F minimum, float sum, F acc) {
  return kNegative ? f_fnma(minimum, f_set1(sum), acc) : f_fma(minimum, f_set1(sum), acc);
}

/// One group of one activation row.
template <WeightType kType, typename S>
inline F group_product(const W* w, const F* scale, const F* minimum, const ActGroup& x, F acc) {
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr int kMax = kFormat.code_max;
  constexpr int kOffset = kFormat.offset_shift;
  const F dx = f_set1(x.scale);
  if constexpr (S::kHalves) {
    const F low = f_from_int(dot<4, kMax, kOffset>(w, x.q, x.negative_half[0]));
    const F high = f_from_int(dot<4, kMax, kOffset>(w + 4, x.q + 16, x.negative_half[1]));
    acc = f_fma(low, f_mul(scale[0], dx), acc);
    acc = f_fma(high, f_mul(scale[1], dx), acc);
    if constexpr (S::kMin) {
      acc = add_minimum<S::kNegativeMin>(minimum[0], x.half_sum[0], acc);
      acc = add_minimum<S::kNegativeMin>(minimum[1], x.half_sum[1], acc);
    }
  } else {
    const F product = f_from_int(dot<8, kMax, kOffset>(w, x.q, x.negative_sum));
    acc = f_fma(product, f_mul(scale[0], dx), acc);
    if constexpr (S::kMin) acc = add_minimum<S::kNegativeMin>(minimum[0], x.sum, acc);
  }
  return acc;
}

template <WeightType kType, int kRows>
void tile_kernel(const TileView& tile, int64_t groups, const ActGroup* x, float* out) {
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr int kPerBlock = kFormat.groups_per_block();
  using S = Scales<kFormat.scales>;
  const WTable table = w_table(kCodebook<kType>);
  const uint8_t* planes = tile.planes;
  const uint8_t* scale_bytes = tile.scales;
  F acc[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r] = f_load(out + kTileRows * r);
  for (int64_t block = 0; block < groups / kPerBlock; ++block) {
    const S scales(scale_bytes);
    for (int g = 0; g < kPerBlock; ++g) {
      W w[8];
      unpack_codes<kType>(planes, table, w);
#pragma GCC unroll 8
      for (int s = 0; s < 8; ++s) w[s] = w_ready<kFormat.code_max>(w[s]);
      F scale[2] = {scales.scale(g, 0), f_zero()};
      F minimum[2] = {f_zero(), f_zero()};
      if constexpr (S::kHalves) scale[1] = scales.scale(g, 1);
      if constexpr (S::kMin) minimum[0] = scales.minimum(g, 0);
      if constexpr (S::kMin && S::kHalves) minimum[1] = scales.minimum(g, 1);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[r] = group_product<kType, S>(w, scale, minimum, x[r], acc[r]);
      planes += kFormat.group_plane_bytes();
      x += kRows;
    }
    scale_bytes += kFormat.block_scale_bytes();
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) f_store(out + kTileRows * r, acc[r]);
}

// ---- exact values ----

/// Writes the f32 values of a group: [32 columns][16 rows]. The file format's own arithmetic: products and sums rounded separately.
template <WeightType kType, typename S>
inline void group_values(const uint8_t* planes, const S& scales, const WTable& table, int g, float* out) {
  constexpr TileFormat kFormat = tile_format(kType);
  W w[8];
  unpack_codes<kType>(planes, table, w);
  const I offset = i_set1(kFormat.offset_shift >= 0 ? -(1 << (kFormat.offset_shift & 7)) : 0);
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) {
    const F scale = scales.scale(g, s / 4);
    const auto value = [&](I code) {
      F v = f_mul(scale, f_from_int(i_add(code, offset)));
      if constexpr (S::kMin && S::kNegativeMin) v = f_sub(v, scales.minimum(g, s / 4));
      if constexpr (S::kMin && !S::kNegativeMin) v = f_add(v, scales.minimum(g, s / 4));
      return v;
    };
    f_store(out + 16 * (4 * s), value(w_lane_byte<0>(w[s])));
    f_store(out + 16 * (4 * s + 1), value(w_lane_byte<1>(w[s])));
    f_store(out + 16 * (4 * s + 2), value(w_lane_byte<2>(w[s])));
    f_store(out + 16 * (4 * s + 3), value(w_lane_byte<3>(w[s])));
  }
}

template <WeightType kType>
inline F float_column(const uint8_t* planes) {
  if constexpr (kType == WeightType::kF32) return f_load(reinterpret_cast<const float*>(planes));
  if constexpr (kType == WeightType::kF16) return f_from_half(reinterpret_cast<const uint16_t*>(planes));
  return f_from_bfloat(reinterpret_cast<const uint16_t*>(planes));
}

/// Calls use(columns, values [columns][16]) over the tile's columns in order, up to 32 at a time.
template <WeightType kType, typename Use>
inline void each_group_values(const TileView& tile, int64_t columns, Use use) {
  constexpr TileFormat kFormat = tile_format(kType);
  alignas(64) float values[kGroup * kTileRows];
  if constexpr (kFormat.is_float()) {
    constexpr int kColumnBytes = kFormat.float_bytes * kTileRows;
    for (int64_t first = 0; first < columns; first += kGroup) {
      const int count = static_cast<int>(columns - first < kGroup ? columns - first : kGroup);
      for (int c = 0; c < count; ++c) f_store(values + 16 * c, float_column<kType>(tile.planes + kColumnBytes * (first + c)));
      use(count, values);
    }
  } else {
    using S = Scales<kFormat.scales>;
    const WTable table = w_table(kCodebook<kType>);
    constexpr int kPerBlock = kFormat.groups_per_block();
    const uint8_t* planes = tile.planes;
    for (int64_t block = 0; block < columns / (kPerBlock * kGroup); ++block) {
      const S scales(tile.scales + block * kFormat.block_scale_bytes());
      for (int g = 0; g < kPerBlock; ++g) {
        group_values<kType>(planes, scales, table, g, values);
        use(kGroup, values);
        planes += kFormat.group_plane_bytes();
      }
    }
  }
}

template <WeightType kType, int kRows>
void tile_kernel_f32(const TileView& tile, int64_t columns, const float* x, int64_t stride, float* out) {
  F acc[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r] = f_load(out + kTileRows * r);
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
    for (int c = 0; c < count; ++c) {
      const F w = f_load(values + 16 * c);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[r] = f_fma(w, f_set1(x[r * stride + c]), acc[r]);
    }
    x += count;
  });
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) f_store(out + kTileRows * r, acc[r]);
}

template <WeightType kType>
void tile_row(const TileView& tile, int64_t columns, int lane, float* out) {
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
    for (int c = 0; c < count; ++c) out[c] = values[16 * c + lane];
    out += count;
  });
}

// ---- activations ----

void quantize_row(const float* x, int64_t groups, ActGroup* out, int64_t stride) {
  for (int64_t g = 0; g < groups; ++g) quantize_group(x + kGroup * g, out[g * stride]);
}

// ---- the table ----

template <WeightType kType, int kRows>
constexpr void fill_rows(LinearKernels& k) {
  constexpr int kIndex = static_cast<int>(kType);
  if constexpr (!tile_format(kType).is_float()) k.tile[kIndex][kRows] = tile_kernel<kType, kRows>;
  k.tile_f32[kIndex][kRows] = tile_kernel_f32<kType, kRows>;
}

template <WeightType kType>
constexpr void fill_type(LinearKernels& k) {
  k.row[static_cast<int>(kType)] = tile_row<kType>;
  fill_rows<kType, 1>(k);
  fill_rows<kType, 2>(k);
  if constexpr (kRowsBest >= 4) {
    fill_rows<kType, 3>(k);
    fill_rows<kType, 4>(k);
  }
  if constexpr (kRowsBest >= 8) {
    fill_rows<kType, 5>(k);
    fill_rows<kType, 6>(k);
    fill_rows<kType, 7>(k);
    fill_rows<kType, 8>(k);
  }
  if constexpr (kRowsBest >= 16) fill_rows<kType, 16>(k);
}

template <int... kTypes>
constexpr void fill_types(LinearKernels& k) {
  (fill_type<static_cast<WeightType>(kTypes)>(k), ...);
}

constexpr LinearKernels linear_kernels() {
  LinearKernels k;
  fill_types<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(k);
  k.quantize = quantize_row;
  k.rows_best = kRowsBest;
  return k;
}
