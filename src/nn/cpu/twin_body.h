// The int8 tile kernels of formats whose groups are twins (tile_format.h). Included after
// tile_body.h, inside an unnamed namespace, by one .cpp file per instruction set; hence no includes
// here.
//
// Activations have one scale for a block of 256, so that its dot products are integers. Of one
// output,
//   acc = fma(activation scale, d * dots - dmin * minimums, acc),
// where dots is the sum over groups of integer dot * scale, and minimums that of activation sum *
// minimum: both exact, in any order, so each path adds as it likes. The quantiser sees to it that
// the dot product of a group fits 16 bits; two of them, packed, meet their scales in one product.

#if defined(PIPPIN_DOT_BY_CODES)
/// The codes of two groups: where they lie, or in memory, unpacked once for many rows.
template <WeightType kType, bool kUnpack>
struct TwinCodes {
  TwinCodes(const uint8_t* planes, const WTable& table)
      : first(planes, table), second(planes + tile_format(kType).group_plane_bytes(), table) {}
  GroupCodes<kType, kUnpack> first, second;
};

/// Adds the products of two groups with kRows activation rows.
template <WeightType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void twin_products(const TwinCodes<kType, kUnpack>& codes, W scales,
                                                 const ActTwin* x, I* dots) {
  using Dots = DotRows<kRows, false, tile_format(kType).code_max, false>;
  const auto add_all = [&](Dots& sums, const GroupCodes<kType, kUnpack>& half) {
    const auto add = [&]<int s>() { sums.template add<s>(half.template codes<s>(), x); };
    add.template operator()<0>();
    add.template operator()<1>();
    add.template operator()<2>();
    add.template operator()<3>();
    add.template operator()<4>();
    add.template operator()<5>();
    add.template operator()<6>();
    add.template operator()<7>();
  };
  Dots first, second;
  add_all(first, codes.first);
  asm volatile("" ::: "memory");  // or all activations would be kept for the others, in memory
  add_all(second, codes.second);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    dots[r] = i_add_products(dots[r], w_pack(first.total(0, r), second.total(0, r)), scales);
}
#else
/// The codes of two groups, in registers.
template <WeightType kType, bool kUnpack>
struct TwinCodes {
  TwinCodes(const uint8_t* planes, const WTable& table) {
    unpack_codes<kType>(planes, table, w);
    unpack_codes<kType>(planes + tile_format(kType).group_plane_bytes(), table, w + 8);
  }
  W w[16];
};

/// Adds the products of two groups with kRows activation rows.
template <WeightType kType, int kRows, bool kUnpack>
[[gnu::always_inline]] inline void twin_products(const TwinCodes<kType, kUnpack>& codes, W scales,
                                                 const ActTwin* x, I* dots) {
  constexpr int kTurn = kRows % kTurnRows == 0 ? kTurnRows : 1;
#pragma GCC unroll 1
  for (int r = 0; r < kRows; r += kTurn) {
    I first[kTurn], second[kTurn];
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i) first[i] = second[i] = i_set1(0);
    add_twin_dots<kTurn, tile_format(kType).code_max>(codes.w, x + r, first, second);
#pragma GCC unroll 4
    for (int i = 0; i < kTurn; ++i)
      dots[r + i] = i_add_products(dots[r + i], w_pack(first[i], second[i]), scales);
  }
}
#endif

/// What a twin kernel does with two groups; a path may have something else for some formats.
struct PlainTwins {
  template <WeightType kType, bool kUnpack>
  using Codes = TwinCodes<kType, kUnpack>;

  template <WeightType kType, int kRows, bool kUnpack>
  [[gnu::always_inline]] static void add(const Codes<kType, kUnpack>& codes, W scales,
                                         const ActTwin* x, I* dots) {
    twin_products<kType, kRows, kUnpack>(codes, scales, x, dots);
  }
};

#if !defined(PIPPIN_PAIRS_OF)
inline I i_add_pairs_of(I acc, W pairs, const int32_t& two) { return i_add_pairs(acc, pairs, two); }
#endif

/// Ends a block for kRows activation rows: adds what its dots and minimums are worth to acc. The
/// dots are zero afterwards.
template <int kRows>
[[gnu::always_inline]] inline void end_block(const W* minimums, F d, F dmin, const ActSums* x,
                                             I* dots, F* acc) {
  constexpr int kTogether = kRows % 4 == 0 ? 4 : 1;  // rows that take turns: the products of one
                                                     // wait for each other
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r += kTogether) {
    I sum[kTogether];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) sum[i] = i_set1(0);
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) {
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i)
        sum[i] = i_add_pairs_of(sum[i], minimums[p], x[r + i].pairs[p]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) {
      const F value = f_fnma(f_from_int(sum[i]), dmin, f_mul(f_from_int(dots[r + i]), d));
      acc[r + i] = f_fma(value, f_set1(x[r + i].scale), acc[r + i]);
      dots[r + i] = i_set1(0);
    }
  }
}

/// tile_kernel() of formats whose groups are twins.
template <WeightType kType, int kRows, typename Products = PlainTwins>
void twin_kernel(const TileView& tile, int64_t groups, const ActRows& activations, float* out,
                 int64_t stride) {
  constexpr TileFormat kFormat = tile_format(kType);
  static_assert(kFormat.twins && kFormat.scales == ScaleKind::kSuper32Min);
  static_assert(kFormat.code_max * kTwinMost <= 32767);
  constexpr bool kMany = kRows == kManyRows;
  constexpr int kPass = kMany ? kPassRows : kRows;
  const int rows = kMany ? activations.rows : kRows;
  const ActTwin* x = activations.twins;
  const ActSums* sums = activations.sums;
  const WTable table = w_table(kCodebook<kType>);
  const uint8_t* planes = tile.planes;
  const uint8_t* scale_bytes = tile.scales;
  WeightStream<kType> stream(tile);
  alignas(64) F acc[kMany ? kRowsMax : kRows];
  alignas(64) I dots[kMany ? kRowsMax : kRows];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    acc[r] = f_zero();
    dots[r] = i_set1(0);
  }
  for (; groups > 0; groups -= kSuperGroups) {
    const Scales<kFormat.scales> scales(scale_bytes);
#pragma GCC unroll 1
    for (int p = 0; p < kSuperGroups / 2; ++p) {
      stream.next_group();
      stream.next_group();
      const typename Products::template Codes<kType, kMany> codes(planes, table);
      const W pairs = scales.scale_pairs(p);
#pragma GCC unroll 1
      for (int first = 0; first < rows; first += kPass)
        Products::template add<kType, kPass, kMany>(codes, pairs, x + first, dots + first);
      planes += 2 * kFormat.group_plane_bytes();
      x += rows;
    }
    W minimums[4];
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) minimums[p] = scales.minimum_pairs(p);
#pragma GCC unroll 1
    for (int first = 0; first < rows; first += kPass)
      end_block<kPass>(minimums, scales.d, scales.m, sums + first, dots + first, acc + first);
    sums += rows;
    scale_bytes += kFormat.block_scale_bytes();
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) f_store(out + stride * r, acc[r]);
}
