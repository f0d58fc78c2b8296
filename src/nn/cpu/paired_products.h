// Products of 4-bit codes in which additions take the place of every fourth multiplication, for
// processors that add beside their multipliers: on AMD's Zen 4 dot products use two of four pipes.
// (On Intel's, 512-bit additions and dot products share two, and this would be slower.)
// Included after tile_body.h, inside an unnamed namespace; hence no includes here.
//
// Two codes a, b with activations p, q have the products
//   a p + b q = (a + q) (b + p) - a b - p q,
// of which a b is the same for all rows and p q for all outputs. Half of a group's codes are met
// that way, the others directly, which is where the pipes are in balance. A dot product takes
// unsigned times signed bytes: a + 120 + q and b - 8 + p are such, since codes are of 4 bits and
// activations of K-quants within +-120. Integers: the sums are those of every other path.
// Source: S. Winograd, "A New Algorithm for Inner Product", 1968.

struct PairedProducts {
  static constexpr int kPairs = kPairedColumns / 4;  // of sub-vectors

  template <WeightType kType, bool kUnpack>
  struct Codes {
    Codes(const uint8_t* planes, const WTable& table) {
      unpack_codes<kType>(planes, table, w);
      I products = i_set1(0);  // a b
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        w[p] = w_add_s8(w[p], kUnsignedOffset);
        w[p + 4] = w_add_s8(w[p + 4], -kSignedOffset);
        products = i_add_fours(products, w[p], w[p + 4]);
      }
      start = i_sub(i_set1(0), products);
    }
    W w[8];
    I start;
  };

  template <WeightType kType, int kRows, bool kUnpack, typename S>
  [[gnu::always_inline]] static void add(const Codes<kType, kUnpack>& codes,
                                         const GroupScales<S>& scales, const ActGroup* x, F* acc) {
    constexpr TileFormat kFormat = tile_format(kType);
    constexpr int kMax = kFormat.code_max;
    static_assert(kFormat.offset_shift < 0 && S::kBlocks && !S::kHalves);
    static_assert(kMax + kUnsignedOffset + kBlockCodeMost <= 255);
    static_assert(kUnsignedOffset >= kBlockCodeMost && kSignedOffset + kBlockCodeMost <= 128);
    static_assert(kMax - kSignedOffset + kBlockCodeMost <= 127);
    const W* w = codes.w;
    constexpr int kTogether = 4;  // rows that take turns
    static_assert(kRows % kTogether == 0);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r += kTogether) {
      I sum[kTogether];
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i)
        sum[i] = i_add(codes.start, i_set1(x[r + i].paired_origin));
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
        for (int i = 0; i < kTogether; ++i) {
          const int8_t* q = x[r + i].q + 4 * p;
          sum[i] = i_add_fours(sum[i], w_add(w[p], w_fours(q + kGroup / 2)),
                               w_add(w[p + 4], w_fours(q)));
        }
      }
      constexpr int kOthers = 4 - kPairs;
      add_dots<kOthers, kTogether, kMax>(w + kPairs, x + r, kPairs, sum);
      add_dots<kOthers, kTogether, kMax>(w + kPairs + 4, x + r, kPairs + 4, sum);
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i) {
        const F dot = scaled(sum[i], x[r + i]);
        acc[r + i] = scales.add_scaled(dot, dot, x[r + i], acc[r + i]);
      }
    }
  }
};

template <int... kRows>
constexpr void fill_paired(LinearKernels& k, std::integer_sequence<int, kRows...>) {
  constexpr auto kType = WeightType::kQ4_K;
  ((k.tile[static_cast<int>(kType)][kRows] = tile_kernel<kType, kRows, PairedProducts>), ...);
}

/// The kernels of the path with paired products where they gain: Q4_K with many rows.
constexpr LinearKernels paired_linear_kernels(LinearKernels k) {
  fill_paired(k, std::integer_sequence<int, 8, 12, 16, kRowsMax>());
  return k;
}
