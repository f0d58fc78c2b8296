// The 16-lane vector vocabulary of the kernels in plain C++: the oracle of the other simd_*-inl.h
// files.
//   F: 16 f32    I: 16 s32    W: 64 bytes, 16 lanes of 4
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

struct F {
  float v[16];
};
struct I {
  int32_t v[16];
};
struct W {
  uint8_t v[64];
};

#define PIPPIN_EACH(i, n) for (int i = 0; i < (n); ++i)

inline F f_zero() { return F{}; }
inline F f_set1(float x) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = x;
  return r;
}
inline F f_load(const float* p) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = p[i];
  return r;
}
inline void f_store(float* p, F a) { PIPPIN_EACH(i, 16) p[i] = a.v[i]; }
inline F f_add(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] += b.v[i];
  return a;
}
inline F f_sub(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] -= b.v[i];
  return a;
}
inline F f_mul(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] *= b.v[i];
  return a;
}
inline F f_div(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] /= b.v[i];
  return a;
}
inline F f_max(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline F f_min(F a, F b) {
  PIPPIN_EACH(i, 16) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
/// a * b + c, and c - a * b, rounded once.
inline F f_fma(F a, F b, F c) {
  PIPPIN_EACH(i, 16) c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return c;
}
inline F f_fnma(F a, F b, F c) {
  PIPPIN_EACH(i, 16) c.v[i] = __builtin_fmaf(-a.v[i], b.v[i], c.v[i]);
  return c;
}
inline F f_abs(F a) {
  PIPPIN_EACH(i, 16) a.v[i] = __builtin_fabsf(a.v[i]);
  return a;
}
inline F f_from_int(I a) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
inline F f_from_half(const uint16_t* p) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = half_to_float(p[i]);
  return r;
}
inline F f_from_bfloat(const uint16_t* p) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = bfloat16_to_float(p[i]);
  return r;
}
inline void f_to_half(uint16_t* p, F a) { PIPPIN_EACH(i, 16) p[i] = float_to_half(a.v[i]); }
inline F f_from_u8(const uint8_t* p) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = p[i];
  return r;
}
inline F f_from_s8(const uint8_t* p) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = static_cast<int8_t>(p[i]);
  return r;
}
inline float f_reduce_max(F a) {
  float r = a.v[0];
  PIPPIN_EACH(i, 16) r = a.v[i] > r ? a.v[i] : r;
  return r;
}
/// Sums by halving: lane i with lane i + 8, then + 4, + 2, + 1.
inline float f_reduce_add(F a) {
  for (int half = 8; half > 0; half /= 2) PIPPIN_EACH(i, half) a.v[i] += a.v[i + half];
  return a.v[0];
}
/// 2^(e - 128) of 16 exponent bytes.
inline F f_from_exponent(const uint8_t* p) {
  F r;
  PIPPIN_EACH(i, 16)
  r.v[i] = bits_to_float(p[i] < 2 ? 0x00200000u << p[i] : static_cast<uint32_t>(p[i] - 1) << 23);
  return r;
}
/// Rounds to nearest, ties to even. Requires: |a| < 2^22.
inline I i_round(F a) {
  I r;
  PIPPIN_EACH(i, 16) {
    // Adding 1.5 * 2^23 leaves the rounded integer in the low mantissa bits.
    const float shifted = a.v[i] + 12582912.0f;
    r.v[i] = static_cast<int32_t>(float_to_bits(shifted)) - 0x4b400000;
  }
  return r;
}
inline I i_set1(int32_t x) {
  I r;
  PIPPIN_EACH(i, 16) r.v[i] = x;
  return r;
}
/// Two numbers, alternating.
inline I i_set2(const int32_t* two) {
  I r;
  PIPPIN_EACH(i, 16) r.v[i] = two[i % 2];
  return r;
}
/// x << kShift in every lane.
template <int kShift>
inline I i_set1_shifted(int32_t x) {
  return i_set1(x * (1 << kShift));
}
inline I i_add(I a, I b) {
  PIPPIN_EACH(i, 16) a.v[i] += b.v[i];
  return a;
}
inline int32_t i_reduce_add(I a) {
  int32_t r = 0;
  PIPPIN_EACH(i, 16) r += a.v[i];
  return r;
}
/// Stores the low byte of each lane.
inline void i_store_s8(int8_t* p, I a) { PIPPIN_EACH(i, 16) p[i] = static_cast<int8_t>(a.v[i]); }
/// Stores the low half of each lane. Requires: it holds the lane's value.
inline void i_store_s16(int16_t* p, I a) { PIPPIN_EACH(i, 16) p[i] = static_cast<int16_t>(a.v[i]); }
/// 2^n for integers n in [-126, 127].
inline F f_exp2_int(I n) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = bits_to_float(static_cast<uint32_t>(n.v[i] + 127) << 23);
  return r;
}
/// Lanes where bit 0 of n is set come from `set`, the others from `clear`.
inline F f_select_bit0(I n, F set, F clear) {
  PIPPIN_EACH(i, 16) clear.v[i] = n.v[i] & 1 ? set.v[i] : clear.v[i];
  return clear;
}
/// Negates the lanes where bit 1 of n is set.
inline F f_negate_bit1(I n, F a) {
  PIPPIN_EACH(i, 16) a.v[i] = n.v[i] & 2 ? -a.v[i] : a.v[i];
  return a;
}
/// Swaps neighbouring lanes: 1 0 3 2 ...
inline F f_swap_pairs(F a) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = a.v[i ^ 1];
  return r;
}

inline W w_load(const uint8_t* p) {
  W r;
  PIPPIN_EACH(i, 64) r.v[i] = p[i];
  return r;
}
inline void w_store(uint8_t* p, W a) { PIPPIN_EACH(i, 64) p[i] = a.v[i]; }
/// (byte << kShift, or >> -kShift) & kMask. Requires: the mask clears bits of neighbouring bytes.
template <int kShift, int kMask>
inline W w_bits(W a) {
  PIPPIN_EACH(i, 64)
  a.v[i] = static_cast<uint8_t>((kShift >= 0 ? a.v[i] << (kShift & 7) : a.v[i] >> (-kShift & 7)) &
                                kMask);
  return a;
}
template <int kShift, int kMask>
inline W w_or_bits(W base, W a) {
  a = w_bits<kShift, kMask>(a);
  PIPPIN_EACH(i, 64) base.v[i] |= a.v[i];
  return base;
}
struct WTable {
  Codebook book;
};
inline WTable w_table(const Codebook& book) { return WTable{book}; }
inline W w_lookup(const WTable& table, W a) {
  PIPPIN_EACH(i, 64) a.v[i] = table.book.codes[a.v[i]];
  return a;
}
/// Byte k of every lane as integers.
template <int k>
inline I w_lane_byte(W a) {
  I r;
  PIPPIN_EACH(i, 16) r.v[i] = a.v[4 * i + k];
  return r;
}

/// 16 small numbers and 16 more as pairs of 16 bits, lane by lane.
inline W w_pairs(const uint8_t* low, const uint8_t* high) {
  W r{};
  PIPPIN_EACH(i, 16) r.v[4 * i] = low[i];
  PIPPIN_EACH(i, 16) r.v[4 * i + 2] = high[i];
  return r;
}
/// The same of signed numbers.
inline W w_signed_pairs(const uint8_t* low, const uint8_t* high) {
  W r = w_pairs(low, high);
  PIPPIN_EACH(i, 16) r.v[4 * i + 1] = low[i] & 0x80 ? 0xff : 0;
  PIPPIN_EACH(i, 16) r.v[4 * i + 3] = high[i] & 0x80 ? 0xff : 0;
  return r;
}
/// 32 signed bytes as 16 pairs of 16 bits.
inline W w_pairs_s8(const uint8_t* p) {
  W r;
  PIPPIN_EACH(i, 32) {
    r.v[2 * i] = p[i];
    r.v[2 * i + 1] = p[i] & 0x80 ? 0xff : 0;
  }
  return r;
}
/// acc + the products of such pairs with one pair, the low number in the low half.
inline I i_dpwssd_broadcast(I acc, W pairs, int32_t two) {
  const int32_t low = static_cast<int16_t>(two);
  const int32_t high = static_cast<int16_t>(two >> 16);
  const auto half = [&](int i) {
    return static_cast<int16_t>(pairs.v[2 * i] | pairs.v[2 * i + 1] << 8);
  };
  PIPPIN_EACH(i, 16) acc.v[i] += half(2 * i) * low + half(2 * i + 1) * high;
  return acc;
}

/// Sums of a group pair's first planes (a) and second ones (b) as pairs of 16 bits, a row a lane.
/// Requires: they fit.
inline W w_pack(I a, I b) {
  W r;
  const auto put = [&](int half, int32_t x) {
    r.v[2 * half] = static_cast<uint8_t>(x);
    r.v[2 * half + 1] = static_cast<uint8_t>(x >> 8);
  };
  PIPPIN_EACH(i, 16) {
    put(i / 4 * 8 + i % 4, a.v[i]);
    put(i / 4 * 8 + 4 + i % 4, b.v[i]);
  }
  return r;
}
/// acc + the products of such pairs with others.
inline I i_dpwssd(I acc, W a, W b) {
  const auto half = [](const W& w, int i) {
    return static_cast<int16_t>(w.v[2 * i] | w.v[2 * i + 1] << 8);
  };
  PIPPIN_EACH(i, 32) acc.v[i / 2] += half(a, i) * half(b, i);
  return acc;
}
/// The first group's values of a group pair's first planes (a) and second ones (b), a row a lane;
/// and the second group's.
inline F f_even(F a, F b) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2 * 2];
  return r;
}
inline F f_odd(F a, F b) {
  F r;
  PIPPIN_EACH(i, 16) r.v[i] = (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2 * 2 + 1];
  return r;
}

/// Larger codes lose their offset, or 128, in add_dots().
constexpr int kUnsignedMax = 255;
/// Makes one sub-vector of codes what add_dots() takes.
template <int kMax>
inline W w_ready(W codes) {
  return codes;
}
/// Adds the products of n sub-vectors with kRows rows' activations, from column 4 * first on.
template <int n, int kRows, int kMax>
inline void add_dots(const W* w, const ActGroup* x, int first, I* sums) {
  PIPPIN_EACH(r, kRows)
  PIPPIN_EACH(s, n)
  PIPPIN_EACH(i, 16)
  PIPPIN_EACH(b, 4) sums[r].v[i] += w[s].v[4 * i + b] * x[r].q[4 * (first + s) + b];
}
/// Adds the products of n sub-vectors of a group pair with kRows rows' activations, from sub-vector
/// `from` on. The pair's second planes lie 8 vectors behind its first.
template <int n, int kRows, int kMax, typename X>
inline void add_pair_dots(const W* w, const X* x, int from, I* first, I* second) {
  PIPPIN_EACH(r, kRows)
  PIPPIN_EACH(s, n)
  PIPPIN_EACH(i, 16)
  PIPPIN_EACH(b, 4) {
    const int32_t q = x[r].q[8 * (from + s) + i % 2 * 4 + b];
    first[r].v[i] += w[from + s].v[4 * i + b] * q;
    second[r].v[i] += w[from + s + 8].v[4 * i + b] * q;
  }
}

// Register tiles: activation rows of a linear kernel and those that alternate in it, query rows of
// score and value tiles.
constexpr int kTurnRows = 1;
constexpr int kPassRows = 2;
// Whether there are kernels of many rows, which unpack a group once for all of them. Their sums lie
// in memory, so they gain nothing where products take much longer than unpacking. In order: of
// plain groups, of sub-blocks with scales, of group pairs, with f32 activations.
constexpr bool kManyGroups = false;
constexpr bool kManySubBlocks = false;
constexpr bool kManyGroupPairs = false;
constexpr bool kManyFloats = false;
constexpr int kScoreRows = 4;
constexpr int kScoreBlocks = 2;
constexpr int kValueRows = 2;
constexpr int kRegisters = 8;  // of 16 floats
