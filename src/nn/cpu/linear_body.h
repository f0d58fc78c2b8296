// Exact values of packed weights, kernels with f32 activations, and the table of all linear kernels
// of a path. Included after tile_body.h, inside an unnamed namespace, by one .cpp file per
// instruction set; hence no includes here.

/// Writes the f32 values of a group: [32 columns][16 rows]. The file format's own arithmetic:
/// products and sums rounded separately.
template <WeightType kType, typename S>
inline void group_values(const uint8_t* planes, const S& scales, const WTable& table, int g,
                         float* out) {
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
  if constexpr (kType == WeightType::kF16)
    return f_from_half(reinterpret_cast<const uint16_t*>(planes));
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
      for (int c = 0; c < count; ++c)
        f_store(values + 16 * c, float_column<kType>(tile.planes + kColumnBytes * (first + c)));
      use(count, values);
    }
  } else {
    using S = Scales<kFormat.scales>;
    const WTable table = w_table(kCodebook<kType>);
    const TileFormat format = format_of<kType>(tile);
    const uint8_t* planes = tile.planes;
    const uint8_t* scale_bytes = tile.scales;
    for (; columns > 0; columns -= format.block_columns()) {
      const S scales(scale_bytes, tile.affine);
      scale_bytes += format.block_scale_bytes();
      for (int g = 0; g < format.groups_per_block(); ++g) {
        group_values<kType>(planes, scales, table, g, values);
        use(kGroup, values);
        planes += kFormat.group_plane_bytes();
      }
    }
  }
}

/// Adds `count` columns of kPass of the activation rows, whose columns lie kRows apart.
template <int kRows, int kPass>
[[gnu::always_inline]] inline void add_columns(const float* values, int count, const float* x,
                                               F* acc) {
  for (int c = 0; c < count; ++c) {
    const F w = f_load(values + 16 * c);
#pragma GCC unroll 16
    for (int r = 0; r < kPass; ++r) acc[r] = f_fma(w, f_set1(x[kRows * c + r]), acc[r]);
  }
}

template <WeightType kType, int kRows>
void tile_kernel_f32(const TileView& tile, int64_t columns, const float* x, float* out,
                     int64_t stride) {
  constexpr int kPass = kRows < kPassRows ? kRows : kPassRows;
  F acc[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r] = f_zero();
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
#pragma GCC unroll 1
    for (int first = 0; first < kRows; first += kPass) {
      F sums[kPass];  // in registers
#pragma GCC unroll 16
      for (int r = 0; r < kPass; ++r) sums[r] = acc[first + r];
      add_columns<kRows, kPass>(values, count, x + first, sums);
#pragma GCC unroll 16
      for (int r = 0; r < kPass; ++r) acc[first + r] = sums[r];
    }
    x += kRows * count;
  });
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) f_store(out + stride * r, acc[r]);
}

template <WeightType kType>
void tile_row(const TileView& tile, int64_t columns, int lane, float* out) {
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
    for (int c = 0; c < count; ++c) out[c] = values[16 * c + lane];
    out += count;
  });
}

// ---- activations ----

template <bool kPowerOfTwo>
void quantize_row(const float* x, int64_t groups, ActGroup* out, ActSums* sums, int64_t stride) {
  for (int64_t g = 0; g < groups; g += kSuperGroups) {
    const int count = static_cast<int>(groups - g < kSuperGroups ? groups - g : kSuperGroups);
    quantize_groups<kPowerOfTwo>(x + kGroup * g, count, out + g * stride, sums, stride);
    if constexpr (kPowerOfTwo) sums += stride;
  }
}

// ---- the table ----

template <WeightType kType, int kRows>
constexpr void fill_rows(LinearKernels& k) {
  constexpr int kIndex = static_cast<int>(kType);
  if constexpr (kRows < kPassRows || kRows % kPassRows == 0) {
    constexpr int kMost = Scales<tile_format(kType).scales>::kHalves ? kRowsBestHalves : kRowsBest;
    if constexpr (!tile_format(kType).is_float() && kRows <= kMost)
      k.tile[kIndex][kRows] = tile_kernel<kType, kRows>;
    if constexpr (kRows <= kRowsBestFloats)
      k.tile_f32[kIndex][kRows] = tile_kernel_f32<kType, kRows>;
  }
}

template <WeightType kType, int... kRows>
constexpr void fill_type(LinearKernels& k, std::integer_sequence<int, kRows...>) {
  k.row[static_cast<int>(kType)] = tile_row<kType>;
  (fill_rows<kType, kRows>(k), ...);
}

template <int... kTypes>
constexpr void fill_types(LinearKernels& k, std::integer_sequence<int, kTypes...>) {
  using Rows = std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, kRowsMax>;
  (fill_type<static_cast<WeightType>(kTypes)>(k, Rows()), ...);
}

constexpr LinearKernels linear_kernels() {
  LinearKernels k;
  fill_types(k, std::make_integer_sequence<int, kWeightTypes>());
  k.quantize = quantize_row<false>;
  k.quantize_blocks = quantize_row<true>;
  return k;
}
