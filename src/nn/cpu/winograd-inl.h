// The Winograd inner product of interleaved group pairs: additions replace three multiplications in
// eight (4-bit codes) or one in four (6-bit codes). On AMD's Zen 4 and Zen 5, dot products use two
// of four pipes, and additions are free beside them. On Intel, 512-bit additions and dot products
// share two pipes, and this would be slower.
// Included after group_pair-inl.h, inside an unnamed namespace; hence no includes here.
//
// For codes a, b and activations p, q:
//   a p + b q = (a + q) (b + p) - a b - p q
// a b is the same for all rows, and p q for all outputs. Three quarters of a group's codes are
// multiplied that way, the others directly, which balances the pipes. A dot product takes
// unsigned times signed bytes. With codes of 4 bits and activations within +-120, a + 120 + q and
// b - 8 + p are such. Codes of 6 bits leave room for +-96, and half of them are multiplied that
// way. All are integers, so the sums are those of every other path.
// Source: S. Winograd, "A New Algorithm for Inner Product", 1968.

/// Adds the offsets to the partners w[p] and w[p + kApart]. start: minus the products a b, where
/// sums begin.
template <int kApart, int kUnsigned, int kSigned, int kPairs>
inline void winograd_codes(W* w, I& start) {
  I products = i_set1(0);
#pragma GCC unroll 4
  for (int p = 0; p < kPairs; ++p) {
    w[p] = w_add_s8(w[p], kUnsigned);
    w[p + kApart] = w_add_s8(w[p + kApart], -kSigned);
    products = i_dpbusd(products, w[p], w[p + kApart]);
  }
  start = i_sub(i_set1(0), products);
}

/// Adds the products of two groups with kRows activation rows.
template <int kRows>
inline void add_winograd(const W* w, const ActGroupPair* x, I* first, I* second) {
  constexpr int kPairs = kWinogradColumns / 4;
#pragma GCC unroll 4
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const W low = w_broadcast64(x[i].q + 8 * p), high = w_broadcast64(x[i].q + 8 * (p + 4));
      first[i] = i_dpbusd(first[i], w_add(w[p], high), w_add(w[p + 4], low));
      second[i] = i_dpbusd(second[i], w_add(w[p + 8], high), w_add(w[p + 12], low));
    }
  }
#pragma GCC unroll 4
  for (int s = kPairs; s < 4; ++s) {
    add_pair_sub_vector<kRows>(w[s], w[s + 8], x, s, first, second);
    add_pair_sub_vector<kRows>(w[s + 4], w[s + 12], x, s + 4, first, second);
  }
}

/// The same of interleaved sub-blocks and one row: first[g], second[g] of group g. The sums of both
/// groups alternate, since the products of one wait for each other.
inline void add_winograd_sub_blocks(const W* w, const ActSubBlocks16& x, I* first, I* second) {
  constexpr int kPairs = kSubBlockWinogradColumns / 4;
#pragma GCC unroll 4
  for (int i = 2 * kPairs; i < 4; ++i) {  // sub-vectors without partners: s and s + 2
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      const int s = 4 * g + i / 2 + i % 2 * 2;
      const W q = w_broadcast64(x.q + 8 * s);
      first[g] = i_dpbusd(first[g], w[s], q);
      second[g] = i_dpbusd(second[g], w[s + 8], q);
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      const int s = 4 * g + p;
      const W low = w_broadcast64(x.q + 8 * s), high = w_broadcast64(x.q + 8 * (s + 2));
      first[g] = i_dpbusd(first[g], w_add(w[s], high), w_add(w[s + 2], low));
      second[g] = i_dpbusd(second[g], w_add(w[s + 8], high), w_add(w[s + 10], low));
    }
  }
}

/// The products of two groups, in place of PlainGroupPair.
struct WinogradGroupPair {
  template <TensorType kType, bool kUnpack>
  struct Codes {
    static constexpr bool kSubBlocks16 =
        tile_format(kType).activations() == ActQuantisation::kSubBlocks16;
    Codes(const uint8_t* planes, const WTable& table) {
      unpack_codes<kType>(planes, table, w);
      unpack_codes<kType>(planes + tile_format(kType).group_plane_bytes(), table, w + 8);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        if constexpr (kSubBlocks16) {
          winograd_codes<2, kSubBlockUnsignedOffset, kSubBlockSignedOffset,
                         kSubBlockWinogradColumns / 4>(w + 8 * i, start[0][i]);
          winograd_codes<2, kSubBlockUnsignedOffset, kSubBlockSignedOffset,
                         kSubBlockWinogradColumns / 4>(w + 8 * i + 4, start[1][i]);
        } else {
          winograd_codes<4, kUnsignedOffset, kSignedOffset, kWinogradColumns / 4>(w + 8 * i,
                                                                                  start[0][i]);
        }
      }
    }
    W w[16];
    I start[kSubBlocks16 ? 2 : 1][2];
  };

  template <TensorType kType, int kRows, bool kUnpack>
  [[gnu::always_inline]] static void add(const Codes<kType, kUnpack>& codes, const W* scales,
                                         const auto* x, auto* dots) {
    const auto keep = [&]<int n> [[gnu::always_inline]] (int r, const auto* sums) {
#pragma GCC unroll 4
      for (int i = 0; i < n; ++i) dots[r + i] = sums[i];
    };
    products<kType, kRows>(codes, scales, x, dots, 1, keep);
  }

  /// Adds the products of two groups to so_far[step * row] and passes the sums of n rows to
  /// then<n>(first row, sums).
  template <TensorType kType, int kRows>
  [[gnu::always_inline]] static void products(const auto& codes, const W* scales,
                                              const ActGroupPair* x, const I* so_far, int64_t step,
                                              const auto& then) {
    constexpr int kMax = tile_format(kType).code_max;
    static_assert(kMax + kUnsignedOffset + kBlockCodeMax <= 255);
    static_assert(kUnsignedOffset >= kBlockCodeMax && kSignedOffset + kBlockCodeMax <= 128);
    static_assert(kMax - kSignedOffset + kBlockCodeMax <= 127);
    constexpr int kTurn = kRows % kTurnRows == 0 ? kTurnRows : 1;
#pragma GCC unroll 1
    for (int r = 0; r < kRows; r += kTurn) {
      I first[kTurn], second[kTurn];
#pragma GCC unroll 4
      for (int i = 0; i < kTurn; ++i) {
        const I start = i_set2(x[r + i].winograd_start);
        first[i] = i_add(codes.start[0][0], start);
        second[i] = i_add(codes.start[0][1], start);
      }
      add_winograd<kTurn>(codes.w, x + r, first, second);
#pragma GCC unroll 4
      for (int i = 0; i < kTurn; ++i)
        first[i] = i_dpwssd(so_far[step * (r + i)], w_pack(first[i], second[i]), scales[0]);
      then.template operator()<kTurn>(r, first);
    }
  }

  template <TensorType kType, int kRows>
  [[gnu::always_inline]] static void products(const auto& codes, const W* scales,
                                              const ActSubBlocks16* x, const F* so_far,
                                              int64_t step, const auto& then) {
    constexpr int kMax = tile_format(kType).code_max;
    static_assert(kMax + kSubBlockUnsignedOffset + kSubBlockCodeMax <= 255);
    static_assert(kSubBlockUnsignedOffset >= kSubBlockCodeMax &&
                  kSubBlockSignedOffset + kSubBlockCodeMax <= 128);
    static_assert(kMax - kSubBlockSignedOffset + kSubBlockCodeMax <= 127);
#pragma GCC unroll 1
    for (int r = 0; r < kRows; ++r) {
      I first[2], second[2];  // of each group
#pragma GCC unroll 2
      for (int g = 0; g < 2; ++g) {
        const I start = i_set2(x[r].winograd_start[g]);
        first[g] = i_add(codes.start[g][0], start);
        second[g] = i_add(codes.start[g][1], start);
      }
      add_winograd_sub_blocks(codes.w, x[r], first, second);
      F sum = so_far[step * r];
#pragma GCC unroll 2
      for (int g = 0; g < 2; ++g) {
        const I dot = i_dpwssd(i_set1(0), w_pack(first[g], second[g]), scales[g]);
        sum = f_fma(f_from_int(dot), f_set1(x[r].scale[g]), sum);
      }
      then.template operator()<1>(r, &sum);
    }
  }
};

/// group_pair_kernel() of many rows. A block's end is computed with its last two groups, so that
/// its multiplications lie among additions. Its first two groups begin at zero.
template <TensorType kType>
void winograd_kernel(const TileView& tile, int64_t groups, const ActRows& activations, float* out,
                     int64_t stride) {
  using S = GroupPairScales<tile_format(kType).scales>;
  using Dots = typename S::Dots;
  const int rows = activations.rows;
  const auto* x = S::activations(activations);
  const BlockSums* sums = activations.block_sums;
  const WTable table = w_table(kCodebook<kType>);
  const uint8_t* planes = tile.planes;
  const uint8_t* scale_bytes = tile.scales;
  WeightStream<kType> stream(tile);
  alignas(64) F acc[kRowsMax];
  alignas(64) Dots dots[kRowsMax];  // of a block
  alignas(64) const F no_acc = f_zero();
  alignas(64) const Dots no_dots = S::none();
  const F* so_far = &no_acc;
  int64_t step = 0;
  for (; groups > 0; groups -= kSuperGroups) {
    const S scales(scale_bytes);
    const auto two_groups = [&] [[gnu::always_inline]] (int p, const auto& then) {
      stream.next_group();
      stream.next_group();
      const WinogradGroupPair::Codes<kType, true> codes(planes, table);
      W pairs[2];
      scales.pairs(p, pairs);
      const Dots* begun = p == 0 ? &no_dots : dots;
      const int64_t begun_step = p == 0 ? 0 : 1;
#pragma GCC unroll 1
      for (int first = 0; first < rows; first += kPassRows) {
        const auto pass = [&]<int n> [[gnu::always_inline]] (int r, const Dots* total) {
          then.template operator()<n>(first + r, total);
        };
        WinogradGroupPair::products<kType, kPassRows>(codes, pairs, x + first,
                                                      begun + begun_step * first, begun_step, pass);
      }
      planes += 2 * tile_format(kType).group_plane_bytes();
      x += rows;
    };
#pragma GCC unroll 1
    for (int p = 0; p < kSuperGroups / 2 - 1; ++p) {
      two_groups(p, [&]<int n> [[gnu::always_inline]] (int r, const Dots* total) {
#pragma GCC unroll 4
        for (int i = 0; i < n; ++i) dots[r + i] = total[i];
      });
    }
    const auto end = scales.end();
    two_groups(kSuperGroups / 2 - 1, [&]<int n> [[gnu::always_inline]] (int r, const Dots* total) {
      end.template rows<n>(r, total, sums, so_far, step, acc);
    });
    so_far = acc;
    step = 1;
    if (sums != nullptr) sums += rows;
    scale_bytes += tile_format(kType).block_scale_bytes();
  }
  for (int r = 0; r < rows; ++r) f_store(out + stride * r, acc[r]);
}

template <TensorType kType, int... kRows>
constexpr void fill_winograd(LinearKernels& k, std::integer_sequence<int, kRows...>) {
  TileKernel* by_rows = k.tile[static_cast<int>(kType)];
  ((by_rows[kRows] = group_pair_kernel<kType, kRows, WinogradGroupPair>), ...);
  fill_many(by_rows, TileKernel{winograd_kernel<kType>});
}

/// The path's kernels, with Winograd inner products for the numbers of rows that gain by them.
constexpr LinearKernels winograd_linear_kernels(LinearKernels k) {
  fill_winograd<TensorType::kQ4_K>(k, std::integer_sequence<int, 8, 12, 16>());
  fill_winograd<TensorType::kQ6_K>(k, std::integer_sequence<int, 12, 16>());
  return k;
}
