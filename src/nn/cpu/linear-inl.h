// Exact values of packed weights, kernels with f32 activations, and the table of all linear kernels
// of a path. Included after tile-inl.h, inside an unnamed namespace, by one .cpp file per
// instruction set; hence no includes here.

/// The codes of a group as floats, by sub-vector and byte.
template <TensorType kType>
class GroupFloats {
 public:
  GroupFloats(const uint8_t* planes, const WTable& table) {
    unpack_codes<kType>(planes, table, w_);
  }
  template <int k>
  F code(int s) const {
    return f_from_int(i_add(w_lane_byte<k>(w_[s]), i_set1(kOffset)));
  }

 private:
  static constexpr int kShift = tile_format(kType).offset_shift;
  static constexpr int kOffset = kShift >= 0 ? -(1 << (kShift & 7)) : 0;
  W w_[8];
};

/// The codes of one group of an interleaved pair.
template <TensorType kType>
class GroupPairFloats {
 public:
  GroupPairFloats(const uint8_t* planes, const WTable& table, bool second)
      : a_(planes, table),
        b_(planes + tile_format(kType).group_plane_bytes(), table),
        second_(second) {}
  template <int k>
  F code(int s) const {
    constexpr bool kSubBlocks16 = tile_format(kType).activations() == ActQuantisation::kSubBlocks16;
    const int at = kSubBlocks16 ? 4 * second_ + s % 4 : s;
    const F a = a_.template code<k>(at), b = b_.template code<k>(at);
    return (kSubBlocks16 ? s >= 4 : second_) ? f_odd(a, b) : f_even(a, b);
  }

 private:
  GroupFloats<kType> a_, b_;
  bool second_;
};

/// Writes the f32 values of a group of a block: [32 columns][16 rows]. The file format's own
/// arithmetic: products and sums rounded separately.
template <typename S>
inline void group_values(const auto& codes, const S& scales, int g, float* out) {
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) {
    const F scale = scales.scale(g, s / 4);
    const auto value = [&](F code) {
      F v = f_mul(scale, code);
      if constexpr (S::kMin && S::kNegativeMin) v = f_sub(v, scales.minimum(g, s / 4));
      if constexpr (S::kMin && !S::kNegativeMin) v = f_add(v, scales.minimum(g, s / 4));
      return v;
    };
    f_store(out + 16 * (4 * s), value(codes.template code<0>(s)));
    f_store(out + 16 * (4 * s + 1), value(codes.template code<1>(s)));
    f_store(out + 16 * (4 * s + 2), value(codes.template code<2>(s)));
    f_store(out + 16 * (4 * s + 3), value(codes.template code<3>(s)));
  }
}

template <TensorType kType>
inline F float_column(const uint8_t* planes) {
  if constexpr (kType == TensorType::kF32) return f_load(reinterpret_cast<const float*>(planes));
  if constexpr (kType == TensorType::kF16)
    return f_from_half(reinterpret_cast<const uint16_t*>(planes));
  return f_from_bfloat(reinterpret_cast<const uint16_t*>(planes));
}

/// Calls use(columns, values [columns][16]) over the tile's columns in order, up to 32 at a time.
template <TensorType kType, typename Use>
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
    using S = ScalesOf<kType>;
    const WTable table = table_of<kType>(tile);
    const TileFormat format = format_of<kType>(tile);
    const uint8_t* planes = tile.planes;
    const uint8_t* scale_bytes = tile.scales;
    for (; columns > 0; columns -= format.block_columns()) {
      const S scales(scale_bytes, tile.affine);
      scale_bytes += format.block_scale_bytes();
      for (int g = 0; g < format.groups_per_block(); ++g) {
        if constexpr (kFormat.interleaved) {
          const uint8_t* both = planes - g % 2 * kFormat.group_plane_bytes();
          group_values(GroupPairFloats<kType>(both, table, g % 2 == 1), scales, g, values);
        } else {
          group_values(GroupFloats<kType>(planes, table), scales, g, values);
        }
        use(kGroup, values);
        planes += kFormat.group_plane_bytes();
      }
    }
  }
}

/// Adds `count` columns of kPass of the activation rows, whose columns lie `rows` apart.
template <int kPass>
[[gnu::always_inline]] inline void add_columns(const float* values, int count, const float* x,
                                               int rows, F* acc) {
  for (int c = 0; c < count; ++c) {
    const F w = f_load(values + 16 * c);
#pragma GCC unroll 16
    for (int r = 0; r < kPass; ++r) acc[r] = f_fma(w, f_set1(x[rows * c + r]), acc[r]);
  }
}

template <TensorType kType, int kRows>
void tile_kernel_f32(const TileView& tile, int64_t columns, const float* x,
                     [[maybe_unused]] int many, float* out, int64_t stride) {
  constexpr bool kMany = kRows == kManyRows;
  constexpr int kPass = kMany ? kPassRows : kRows;
  const int rows = kMany ? many : kRows;
  F acc[kMany ? kRowsMax : kRows];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) acc[r] = f_zero();
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
#pragma GCC unroll 1
    for (int first = 0; first < rows; first += kPass) {
      F sums[kPass];  // in registers
#pragma GCC unroll 16
      for (int r = 0; r < kPass; ++r) sums[r] = acc[first + r];
      add_columns<kPass>(values, count, x + first, rows, sums);
#pragma GCC unroll 16
      for (int r = 0; r < kPass; ++r) acc[first + r] = sums[r];
    }
    x += rows * count;
  });
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) f_store(out + stride * r, acc[r]);
}

template <TensorType kType>
void tile_row(const TileView& tile, int64_t columns, int lane, float* out) {
  each_group_values<kType>(tile, columns, [&](int count, const float* values) {
    for (int c = 0; c < count; ++c) out[c] = values[16 * c + lane];
    out += count;
  });
}

// ---- activations ----

template <bool kPowerOfTwo>
void quantize_row(const float* x, int64_t groups, const ActRows& out) {
  for (int64_t g = 0; g < groups; g += kSuperGroups) {
    const int count = static_cast<int>(groups - g < kSuperGroups ? groups - g : kSuperGroups);
    BlockSums* sums = kPowerOfTwo ? out.block_sums + g / kSuperGroups * out.rows : nullptr;
    quantize_groups<kPowerOfTwo>(x + kGroup * g, count, out.groups + g * out.rows, sums, out.rows);
  }
}

inline void quantize_group_pairs(const float* x, int64_t groups, const ActRows& out) {
  for (int64_t g = 0; g < groups; g += kSuperGroups) {
    quantize_block(x + kGroup * g, out.group_pairs + g / 2 * out.rows,
                   out.block_sums[g / kSuperGroups * out.rows], out.rows);
  }
}

inline void quantize_sub_blocks(const float* x, int64_t groups, const ActRows& out) {
  for (int64_t g = 0; g < groups; g += 2)
    quantize_sub_block_pair(x + kGroup * g, out.sub_blocks[g / 2 * out.rows]);
}

// ---- the table ----

template <TensorType kType, int kRows>
constexpr TileKernel tile_kernel_of() {
  if constexpr (tile_format(kType).interleaved)
    return group_pair_kernel<kType, kRows>;
  else
    return tile_kernel<kType, kRows>;
}

template <TensorType kType, int kRows>
constexpr void fill_rows(LinearKernels& k) {
  constexpr int kIndex = static_cast<int>(kType);
  if constexpr (kRows <= kPassRows) {
    if constexpr (!tile_format(kType).is_float())
      k.tile[kIndex][kRows] = tile_kernel_of<kType, kRows>();
    k.tile_f32[kIndex][kRows] = tile_kernel_f32<kType, kRows>;
  }
}

/// Enters a kernel of many rows for every multiple of kPassRows.
template <typename Kernel>
constexpr void fill_many(Kernel* by_rows, Kernel kernel) {
  for (int rows = 2 * kPassRows; rows <= kRowsMax; rows += kPassRows) by_rows[rows] = kernel;
}

/// Enters the kernels of a type that has tiles of its own.
template <TensorType kType, int... kRows>
constexpr void fill_type(LinearKernels& k, std::integer_sequence<int, kRows...>) {
  k.row[static_cast<int>(kType)] = tile_row<kType>;
  (fill_rows<kType, kRows>(k), ...);
  constexpr int kIndex = static_cast<int>(kType);
  constexpr TileFormat kFormat = tile_format(kType);
  constexpr bool kSubBlocks16 = ScalesOf<kType>::kSubBlocks16;
  constexpr bool kMany = kFormat.interleaved ? kManyGroupPairs
                         : kSubBlocks16      ? kManySubBlocks
                                             : kManyGroups;
  if constexpr (!kFormat.is_float() && kMany)
    fill_many(k.tile[kIndex], tile_kernel_of<kType, kManyRows>());
  if constexpr (kManyFloats)
    fill_many(k.tile_f32[kIndex], TileKernelF32{tile_kernel_f32<kType, kManyRows>});
}

template <int... kTypes>
constexpr void fill_types(LinearKernels& k, std::integer_sequence<int, kTypes...>) {
  using Rows = std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16>;
  const auto fill = [&]<TensorType kType>() {
    if constexpr (tile_type(kType) == kType) fill_type<kType>(k, Rows());
  };
  (fill.template operator()<static_cast<TensorType>(kTypes)>(), ...);
}

constexpr LinearKernels linear_kernels() {
  LinearKernels k;
  fill_types(k, std::make_integer_sequence<int, kTensorTypes>());
  k.quantize[static_cast<int>(ActQuantisation::kGroups)] = quantize_row<false>;
  k.quantize[static_cast<int>(ActQuantisation::kPowerOfTwoScales)] = quantize_row<true>;
  k.quantize[static_cast<int>(ActQuantisation::kGroupPairs)] = quantize_group_pairs;
  k.quantize[static_cast<int>(ActQuantisation::kSubBlocks16)] = quantize_sub_blocks;
  return k;
}
