// Products of 4-bit codes in which additions take the place of three multiplications in eight, for
// processors that add beside their multipliers: on AMD's Zen 4 dot products use two of four pipes.
// (On Intel's, 512-bit additions and dot products share two, and this would be slower.)
// Included after twin_body.h, inside an unnamed namespace; hence no includes here.
//
// Two codes a, b with activations p, q have the products
//   a p + b q = (a + q) (b + p) - a b - p q,
// of which a b is the same for all rows and p q for all outputs. Three quarters of a group's codes
// are met that way, the others directly, which is where the pipes are in balance. A dot product
// takes unsigned times signed bytes: a + 120 + q and b - 8 + p are such, since codes are of 4 bits
// and activations of K-quants within +-120. Integers: the sums are those of every other path.
// Source: S. Winograd, "A New Algorithm for Inner Product", 1968.

/// What a twin kernel does with two groups, in place of PlainTwins.
struct PairedTwins {
  static constexpr int kPairs = kPairedColumns / 4;  // of sub-vectors

  template <WeightType kType, bool kUnpack>
  struct Codes {
    Codes(const uint8_t* planes, const WTable& table) {
      unpack_codes<kType>(planes, table, w);
      unpack_codes<kType>(planes + tile_format(kType).group_plane_bytes(), table, w + 8);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        W* half = w + 8 * h;
        I products = i_set1(0);  // a b
#pragma GCC unroll 4
        for (int p = 0; p < kPairs; ++p) {
          half[p] = w_add_s8(half[p], kUnsignedOffset);
          half[p + 4] = w_add_s8(half[p + 4], -kSignedOffset);
          products = i_add_fours(products, half[p], half[p + 4]);
        }
        start[h] = i_sub(i_set1(0), products);
      }
    }
    W w[16];
    I start[2];
  };

  template <WeightType kType, int kRows, bool kUnpack>
  [[gnu::always_inline]] static void add(const Codes<kType, kUnpack>& codes, W scales,
                                         const ActTwin* x, I* dots) {
    constexpr int kMax = tile_format(kType).code_max;
    static_assert(kMax + kUnsignedOffset + kBlockCodeMost <= 255);
    static_assert(kUnsignedOffset >= kBlockCodeMost && kSignedOffset + kBlockCodeMost <= 128);
    static_assert(kMax - kSignedOffset + kBlockCodeMost <= 127);
    const W* w = codes.w;
    static_assert(kRows % kTurnRows == 0);
#pragma GCC unroll 1
    for (int r = 0; r < kRows; r += kTurnRows) {
      I first[kTurnRows], second[kTurnRows];
#pragma GCC unroll 4
      for (int i = 0; i < kTurnRows; ++i) {
        const W start = w_eights(x[r + i].paired_start);
        first[i] = i_add(codes.start[0], start);
        second[i] = i_add(codes.start[1], start);
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
        for (int i = 0; i < kTurnRows; ++i) {
          const W low = w_eights(x[r + i].q + 8 * p);
          const W high = w_eights(x[r + i].q + 8 * (p + 4));
          first[i] = i_add_fours(first[i], w_add(w[p], high), w_add(w[p + 4], low));
          second[i] = i_add_fours(second[i], w_add(w[p + 8], high), w_add(w[p + 12], low));
        }
      }
#pragma GCC unroll 4
      for (int s = kPairs; s < 4; ++s) {
        add_eights<kTurnRows>(w[s], w[s + 8], x + r, s, first, second);
        add_eights<kTurnRows>(w[s + 4], w[s + 12], x + r, s + 4, first, second);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kTurnRows; ++i)
        dots[r + i] = i_add_products(dots[r + i], w_pack(first[i], second[i]), scales);
    }
  }
};

/// The kernels of the path with paired products where they gain: Q4_K with 8 rows and more.
constexpr LinearKernels paired_linear_kernels(LinearKernels k) {
  constexpr auto kType = WeightType::kQ4_K;
  TileKernel* by_rows = k.tile[static_cast<int>(kType)];
  by_rows[8] = twin_kernel<kType, 8, PairedTwins>;
  by_rows[12] = twin_kernel<kType, 12, PairedTwins>;
  by_rows[16] = twin_kernel<kType, 16, PairedTwins>;
  fill_many(by_rows, TileKernel{twin_kernel<kType, kManyRows, PairedTwins>});
  return k;
}
