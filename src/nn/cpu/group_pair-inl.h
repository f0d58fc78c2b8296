// The int8 tile kernels of interleaved group pairs (tile_format.h). Included after tile-inl.h,
// inside an unnamed namespace, by one .cpp file per instruction set; hence no includes here.
//
// Q4_K: groups have scales, and activations have one for a block of 256. For one output,
//   dots = sum over groups of integer dot * scale
//   minimums = sum over groups of activation sum * minimum
//   acc = fma(activation scale, d * dots - dmin * minimums, acc)
// Both sums are of integers, so each path adds in the order it likes.
// Q6_K: sub-blocks of 16 have scales, and activations have one for each group. Then
//   acc = fma(d, sum over groups, in order, of activation scale * dots, acc)
// The quantiser keeps the dot product of a group, or of a sub-block, within 16 bits. Two of them,
// packed, are multiplied by their scales and added by one dpwssd.

#if defined(PIPPIN_DOT_BY_CODES)
/// The codes of two groups: where they lie, or in memory, unpacked once for many rows.
template <TensorType kType, bool kUnpack>
struct GroupPairCodes {
  GroupPairCodes(const uint8_t* planes, const WTable& table)
      : first(planes, table), second(planes + tile_format(kType).group_plane_bytes(), table) {}
  GroupCodes<kType, kUnpack> first, second;
};

/// Adds the products of two groups with kRows activation rows.
template <TensorType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void group_pair_products(const GroupPairCodes<kType, kUnpack>& codes,
                                                       const W* scales, const ActGroupPair* x,
                                                       I* dots) {
  DotRows<kRows, false, tile_format(kType).code_max, false> first, second;
  add_all(first, codes.first, x);
  asm volatile("" ::: "memory");  // keeps the compiler from spilling all activations for `second`
  add_all(second, codes.second, x);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    dots[r] = i_dpwssd(dots[r], w_pack(first.total(0, r), second.total(0, r)), scales[0]);
}

/// The same where sub-blocks have scales: sub-vectors 0 to 3 are of the first group.
template <TensorType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void group_pair_products(const GroupPairCodes<kType, kUnpack>& codes,
                                                       const W* scales, const ActSubBlocks16* x,
                                                       F* dots) {
  DotRows<kRows, true, tile_format(kType).code_max, true> first, second;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      first.begin(g, r, i_set2(x[r].start[g]));
      second.begin(g, r, i_set2(x[r].start[g]));
    }
  }
  add_all(first, codes.first, x);
  asm volatile("" ::: "memory");
  add_all(second, codes.second, x);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      const I dot = i_dpwssd(i_set1(0), w_pack(first.total(g, r), second.total(g, r)), scales[g]);
      dots[r] = f_fma(f_from_int(dot), f_set1(x[r].scale[g]), dots[r]);
    }
  }
}
#else
/// The codes of two groups, in registers.
template <TensorType kType, bool kUnpack>
struct GroupPairCodes {
  GroupPairCodes(const uint8_t* planes, const WTable& table) {
    unpack_codes<kType>(planes, table, w);
    unpack_codes<kType>(planes + tile_format(kType).group_plane_bytes(), table, w + 8);
  }
  W w[16];
};

/// Adds the products of two groups with kRows activation rows.
template <TensorType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void group_pair_products(const GroupPairCodes<kType, kUnpack>& codes,
                                                       const W* scales, const ActGroupPair* x,
                                                       I* dots) {
  constexpr int kTurn = kRows % kTurnRows == 0 ? kTurnRows : 1;
#pragma GCC unroll 1
  for (int r = 0; r < kRows; r += kTurn) {
    I first[kTurn], second[kTurn];
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i) first[i] = second[i] = i_set1(0);
    add_pair_dots<8, kTurn, tile_format(kType).code_max>(codes.w, x + r, 0, first, second);
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i)
      dots[r + i] = i_dpwssd(dots[r + i], w_pack(first[i], second[i]), scales[0]);
  }
}

/// The same where sub-blocks have scales: sub-vectors 0 to 3 are of the first group.
template <TensorType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void group_pair_products(const GroupPairCodes<kType, kUnpack>& codes,
                                                       const W* scales, const ActSubBlocks16* x,
                                                       F* dots) {
  constexpr int kTurn = kRows % kTurnRows == 0 ? kTurnRows : 1;
#pragma GCC unroll 1
  for (int r = 0; r < kRows; r += kTurn) {
    F sums[kTurn];
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i) sums[i] = dots[r + i];
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      I first[kTurn], second[kTurn];
#pragma GCC unroll 4
      for (int i = 0; i < kTurn; ++i) first[i] = second[i] = i_set2(x[r + i].start[g]);
      add_pair_dots<4, kTurn, tile_format(kType).code_max>(codes.w, x + r, 4 * g, first, second);
#pragma GCC unroll 4
      for (int i = 0; i < kTurn; ++i) {
        const I dot = i_dpwssd(i_set1(0), w_pack(first[i], second[i]), scales[g]);
        sums[i] = f_fma(f_from_int(dot), f_set1(x[r + i].scale[g]), sums[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i) dots[r + i] = sums[i];
  }
}
#endif

/// The products of two groups, taken directly. A path may have another class for some formats.
struct PlainGroupPair {
  template <TensorType kType, bool kUnpack>
  using Codes = GroupPairCodes<kType, kUnpack>;

  template <TensorType kType, int kRows, bool kUnpack>
  [[gnu::always_inline]] static void add(const Codes<kType, kUnpack>& codes, const W* scales,
                                         const auto* x, auto* dots) {
    group_pair_products<kType, kRows, kUnpack>(codes, scales, x, dots);
  }
};

#if !defined(PIPPIN_DPWSSD_FROM)
inline I i_dpwssd_from(I acc, W pairs, const int32_t& two) {
  return i_dpwssd_broadcast(acc, pairs, two);
}
#endif

/// The scales of a block of group pairs: one for each group, and minimums.
template <ScaleKind kKind>
struct GroupPairScales : Scales<kKind> {
  using Dots = I;
  using Scales<kKind>::Scales;
  static Dots none() { return i_set1(0); }
  static const ActGroupPair* activations(const ActRows& rows) { return rows.group_pairs; }

  /// Those of groups 2 p and 2 p + 1.
  void pairs(int p, W* scales) const { scales[0] = this->scale_pairs(p); }

  /// Adds the scaled dots and minimums of rows to acc, kPass rows at a time, and clears the dots.
  template <int kPass>
  [[gnu::always_inline]] void end(const BlockSums* x, int rows, Dots* dots, F* acc) const {
    const End ending = end();
#pragma GCC unroll 1
    for (int first = 0; first < rows; first += kPass)
      ending.template rows<kPass>(first, dots + first, x, acc, 1, acc, dots);
  }

  struct End {
    W minimums[4];
    F d, m;
    /// acc[row] = so_far[step * row] + the scaled dots and minimums, for n rows from `first` on.
    /// Clears `zeros` of these rows unless it is null.
    template <int n>
    [[gnu::always_inline]] void rows(int first, const Dots* dots, const BlockSums* x,
                                     const F* so_far, int64_t step, F* acc,
                                     Dots* zeros = nullptr) const {
      // Rows that take turns: the products of one wait for each other.
      constexpr int kTogether = n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1;
#pragma GCC unroll 16
      for (int r = 0; r < n; r += kTogether) {
        I sum[kTogether];
#pragma GCC unroll 4
        for (int i = 0; i < kTogether; ++i) sum[i] = i_set1(0);
#pragma GCC unroll 4
        for (int p = 0; p < 4; ++p) {
#pragma GCC unroll 4
          for (int i = 0; i < kTogether; ++i)
            sum[i] = i_dpwssd_from(sum[i], minimums[p], x[first + r + i].pairs[p]);
        }
#pragma GCC unroll 4
        for (int i = 0; i < kTogether; ++i) {
          const F value = f_fnma(f_from_int(sum[i]), m, f_mul(f_from_int(dots[r + i]), d));
          const int row = first + r + i;
          acc[row] = f_fma(value, f_set1(x[row].scale), so_far[step * row]);
          if (zeros != nullptr) zeros[row] = none();
        }
      }
    }
  };
  End end() const {
    return {{this->minimum_pairs(0), this->minimum_pairs(1), this->minimum_pairs(2),
             this->minimum_pairs(3)},
            this->d,
            this->m};
  }
};

/// The same of sub-blocks with scales and without minimums: a pair of scales is of a group's two
/// sub-blocks. Dots are multiplied by the activations' scale a group at a time.
template <>
struct GroupPairScales<ScaleKind::kSuperBlock16> : Scales<ScaleKind::kSuperBlock16> {
  using Dots = F;
  using Scales<ScaleKind::kSuperBlock16>::Scales;
  static Dots none() { return f_zero(); }
  static const ActSubBlocks16* activations(const ActRows& rows) { return rows.sub_blocks; }

  void pairs(int p, W* scales) const {
    const uint8_t* first = bytes + 32 + 64 * p;
    scales[0] = w_signed_pairs(first, first + 16);
    scales[1] = w_signed_pairs(first + 32, first + 48);
  }

  template <int kPass>
  [[gnu::always_inline]] void end(const BlockSums*, int rows, Dots* dots, F* acc) const {
    for (int r = 0; r < rows; ++r) {
      acc[r] = f_fma(dots[r], d, acc[r]);
      dots[r] = none();
    }
  }

  struct End {
    F d;
    template <int n>
    [[gnu::always_inline]] void rows(int first, const Dots* dots, const BlockSums*, const F* so_far,
                                     int64_t step, F* acc) const {
#pragma GCC unroll 16
      for (int r = 0; r < n; ++r) acc[first + r] = f_fma(dots[r], d, so_far[step * (first + r)]);
    }
  };
  End end() const { return {d}; }
};

/// tile_kernel() of interleaved group pairs.
template <TensorType kType, int kRows, typename Products = PlainGroupPair>
void group_pair_kernel(const TileView& tile, int64_t groups, const ActRows& activations, float* out,
                       int64_t stride) {
  constexpr TileFormat kFormat = tile_format(kType);
  using S = GroupPairScales<kFormat.scales>;
  static_assert(kFormat.interleaved);
  static_assert(kFormat.scales == ScaleKind::kSuperBlock32Min
                    ? kFormat.code_max * kGroupMagnitudesMax <= 32767
                    : 1 << kFormat.offset_shift == 32 && kFormat.code_max < 64);
  constexpr bool kMany = kRows == kManyRows;
  constexpr int kPass = kMany ? kPassRows : kRows;
  const int rows = kMany ? activations.rows : kRows;
  const auto* x = S::activations(activations);
  const BlockSums* sums = activations.block_sums;
  const WTable table = w_table(kCodebook<kType>);
  const uint8_t* planes = tile.planes;
  const uint8_t* scale_bytes = tile.scales;
  WeightStream<kType> stream(tile);
  alignas(64) F acc[kMany ? kRowsMax : kRows];
  alignas(64) typename S::Dots dots[kMany ? kRowsMax : kRows];  // of a block
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    acc[r] = f_zero();
    dots[r] = S::none();
  }
  for (; groups > 0; groups -= kSuperGroups) {
    const S scales(scale_bytes);
#pragma GCC unroll 1
    for (int p = 0; p < kSuperGroups / 2; ++p) {
      stream.next_group();
      stream.next_group();
      const typename Products::template Codes<kType, kMany> codes(planes, table);
      W pairs[2];
      scales.pairs(p, pairs);
#pragma GCC unroll 1
      for (int first = 0; first < rows; first += kPass)
        Products::template add<kType, kPass, kMany>(codes, pairs, x + first, dots + first);
      planes += 2 * kFormat.group_plane_bytes();
      x += rows;
    }
    scales.template end<kPass>(sums, rows, dots, acc);
    if (sums != nullptr) sums += rows;
    scale_bytes += kFormat.block_scale_bytes();
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) f_store(out + stride * r, acc[r]);
}
