// The 16-lane vector vocabulary (simd_portable-inl.h) on AVX-512, with VNNI where the file is built
// for it. Included inside an unnamed namespace by one .cpp file per instruction set; hence no
// includes here.

using F = __m512;
using I = __m512i;
using W = __m512i;

inline F f_zero() { return _mm512_setzero_ps(); }
inline F f_set1(float x) { return _mm512_set1_ps(x); }
inline F f_load(const float* p) { return _mm512_loadu_ps(p); }
inline void f_store(float* p, F a) { _mm512_storeu_ps(p, a); }
inline F f_add(F a, F b) { return _mm512_add_ps(a, b); }
inline F f_sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F f_mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F f_div(F a, F b) { return _mm512_div_ps(a, b); }
inline F f_max(F a, F b) { return _mm512_max_ps(a, b); }
inline F f_min(F a, F b) { return _mm512_min_ps(a, b); }
inline F f_fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F f_fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
inline F f_abs(F a) { return _mm512_abs_ps(a); }
inline F f_from_int(I a) { return _mm512_cvtepi32_ps(a); }
inline F f_from_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F f_from_bfloat(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline void f_to_half(uint16_t* p, F a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F f_from_u8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline F f_from_s8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline float f_reduce_max(F a) { return _mm512_reduce_max_ps(a); }
inline float f_reduce_add(F a) {
  const __m256 eight = _mm256_add_ps(
      _mm512_castps512_ps256(a), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline F f_from_exponent(const uint8_t* p) {
  const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  const __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
  const __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
  return _mm512_castsi512_ps(_mm512_mask_blend_epi32(small, normal, tiny));
}
inline I i_round(F a) { return _mm512_cvtps_epi32(a); }
inline I i_set1(int32_t x) { return _mm512_set1_epi32(x); }
template <int kShift>
inline I i_set1_shifted(int32_t x) {
  if constexpr (kShift > 0) return _mm512_slli_epi32(_mm512_set1_epi32(x), kShift);
  return _mm512_set1_epi32(x);
}
inline I i_add(I a, I b) { return _mm512_add_epi32(a, b); }
inline int32_t i_reduce_add(I a) { return _mm512_reduce_add_epi32(a); }
inline void i_store_s8(int8_t* p, I a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}
inline void i_store_s16(int16_t* p, I a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}
inline F f_exp2_int(I n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}
inline F f_select_bit0(I n, F set, F clear) {
  return _mm512_mask_blend_ps(_mm512_test_epi32_mask(n, _mm512_set1_epi32(1)), clear, set);
}
inline F f_negate_bit1(I n, F a) {
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(n, _mm512_set1_epi32(2)), 30);
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign));
}
inline F f_swap_pairs(F a) { return _mm512_permute_ps(a, 0xb1); }

inline W w_load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void w_store(uint8_t* p, W a) { _mm512_storeu_si512(p, a); }
template <int kShift>
inline W w_shift(W a) {
  if constexpr (kShift > 0) return _mm512_slli_epi16(a, kShift);
  if constexpr (kShift < 0) return _mm512_srli_epi16(a, -kShift);
  return a;
}
template <int kShift, int kMask>
inline W w_bits(W a) {
  return _mm512_and_si512(w_shift<kShift>(a), _mm512_set1_epi8(static_cast<char>(kMask)));
}
template <int kShift, int kMask>
inline W w_or_bits(W base, W a) {  // base | (shifted & mask)
  return _mm512_ternarylogic_epi32(base, w_shift<kShift>(a),
                                   _mm512_set1_epi8(static_cast<char>(kMask)), 0xf8);
}
using WTable = __m512i;
inline WTable w_table(const Codebook& book) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book.codes)));
}
inline W w_lookup(const WTable& table, W a) { return _mm512_shuffle_epi8(table, a); }
template <int k>
inline I w_lane_byte(W a) {
  return _mm512_and_si512(_mm512_srli_epi32(a, 8 * k), _mm512_set1_epi32(255));
}

inline W w_pairs(const uint8_t* low, const uint8_t* high) {
  const auto wide = [](const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  };
  return _mm512_or_si512(wide(low), _mm512_slli_epi32(wide(high), 16));
}
inline W w_signed_pairs(const uint8_t* low, const uint8_t* high) {
  const auto wide = [](const uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  };
  return _mm512_or_si512(_mm512_and_si512(wide(low), _mm512_set1_epi32(0xffff)),
                         _mm512_slli_epi32(wide(high), 16));
}
inline W w_pairs_s8(const uint8_t* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline I i_dpwssd_broadcast(I acc, W pairs, int32_t two) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(acc, pairs, _mm512_set1_epi32(two));
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi32(two)));
#endif
}

inline W w_pack(I a, I b) { return _mm512_packs_epi32(a, b); }
inline I i_dpwssd(I acc, W a, W b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(acc, a, b);
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}
inline F f_even(F a, F b) { return _mm512_shuffle_ps(a, b, 0x88); }
inline F f_odd(F a, F b) { return _mm512_shuffle_ps(a, b, 0xdd); }

inline W w_broadcast64(const void* p) {
  int64_t eight;
  __builtin_memcpy(&eight, p, 8);
  return _mm512_set1_epi64(eight);
}
inline I i_set2(const int32_t* two) { return w_broadcast64(two); }
inline W w_broadcast32(const int8_t* q) {
  int32_t four;
  __builtin_memcpy(&four, q, 4);
  return _mm512_set1_epi32(four);
}

// Scaled sums without a multiplication. The accumulator begins at the bits of 1.5 * 2^23 * scale,
// the origin. The last bit of that float is worth the scale, so a sum of 22 bits counts in its
// units. One subtraction takes the origin away. It runs beside the dot products; a conversion and a
// multiplication would share their pipes.
#define PIPPIN_SCALED_SUMS
inline I scaled_origin(const ActGroup& x) { return _mm512_castps_si512(_mm512_set1_ps(x.origin)); }
inline F scaled(I sum, const ActGroup& x) {
  return _mm512_sub_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps(x.origin));
}

#if defined(__AVX512VNNI__)
inline I i_sub(I a, I b) { return _mm512_sub_epi32(a, b); }
inline W w_add(W a, W b) { return _mm512_add_epi8(a, b); }
inline W w_add_s8(W a, int x) { return _mm512_add_epi8(a, _mm512_set1_epi8(static_cast<char>(x))); }
inline I i_dpbusd(I acc, W codes, W q) { return _mm512_dpbusd_epi32(acc, codes, q); }

// Dot products whose memory operand is broadcast. g++ would load it into a register first, which
// costs 2 to 7 % with 16 rows. Volatile, so that rows alternate as they are written.
inline I i_dpbusd_from(I acc, W codes, const int8_t* q) {
  asm volatile("vpdpbusd %2%{1to16%}, %1, %0"
               : "+v"(acc)
               : "v"(codes), "m"(*reinterpret_cast<const int8_t(*)[4]>(q)));
  return acc;
}
inline I i_dpwssd_from(I acc, W pairs, const int32_t& two) {
  asm volatile("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(pairs), "m"(two));
  return acc;
}

template <int kMax>
inline W w_ready(W codes) {
  return codes;
}

template <int n, int kRows, int kMax>
inline void add_dots(const W* w, const ActGroup* x, int first, I* sums) {
#pragma GCC unroll 8
  for (int s = 0; s < n; ++s) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      sums[r] = i_dpbusd_from(sums[r], w[s], x[r].q + 4 * (first + s));
  }
}

/// Adds the products of sub-vector s of a group pair: of its first planes and of its second ones.
template <int kRows, typename X>
inline void add_pair_sub_vector(W first_codes, W second_codes, const X* x, int s, I* first,
                                I* second) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const W q = w_broadcast64(x[r].q + 8 * s);
    first[r] = i_dpbusd(first[r], first_codes, q);
    second[r] = i_dpbusd(second[r], second_codes, q);
  }
}
template <int n, int kRows, int kMax, typename X>
inline void add_pair_dots(const W* w, const X* x, int from, I* first, I* second) {
#pragma GCC unroll 8
  for (int s = from; s < from + n; ++s)
    add_pair_sub_vector<kRows>(w[s], w[s + 8], x, s, first, second);
}

#define PIPPIN_DPWSSD_FROM
#define PIPPIN_SCALED_PAIRS
template <int kRows>
inline void subtract_pairs(const W* pairs, F unit, const BlockSums* x, F* acc) {
  constexpr int kTogether = kRows % 4 == 0 ? 4 : 1;  // rows that alternate, to hide latency
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r += kTogether) {
    I origin[kTogether], sum[kTogether];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) {
      // The bits of 1.5 * 2^23 * scale. A scale of zero gives a number that cancels out.
      origin[i] = _mm512_add_epi32(_mm512_castps_si512(_mm512_set1_ps(x[r + i].scale)),
                                   _mm512_set1_epi32((23 << 23) + (1 << 22)));
      sum[i] = origin[i];
    }
#pragma GCC unroll 4
    for (int p = 0; p < 4; ++p) {
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i)
        sum[i] = i_dpwssd_from(sum[i], pairs[p], x[r + i].pairs[p]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) {
      const F dot = _mm512_sub_ps(_mm512_castsi512_ps(sum[i]), _mm512_castsi512_ps(origin[i]));
      acc[r + i] = f_fnma(dot, unit, acc[r + i]);
    }
  }
}
constexpr int kUnsignedMax = 255;
constexpr int kTurnRows = 2;
constexpr int kPassRows = 16;
constexpr bool kManyGroups = false;
constexpr bool kManySubBlocks = true;
constexpr bool kManyGroupPairs = true;
constexpr bool kManyFloats = true;
#else
// Without VNNI, pairs of products are added in 16 bits, for as many sub-vectors as cannot overflow.
// Full 8-bit codes do not fit even once. They are made signed, and their sign moves to the
// activations.
constexpr int kUnsignedMax = 127;
template <int kMax>
inline W w_ready(W codes) {
  return kMax > kUnsignedMax ? _mm512_xor_si512(codes, _mm512_set1_epi8(static_cast<char>(0x80)))
                             : codes;
}
inline __m512i pair_sums(W w, __m512i x) { return _mm512_maddubs_epi16(w, x); }
inline __m512i pair_sums_signed(W w, __m512i x) {
  const __mmask64 negative = _mm512_movepi8_mask(w);
  return _mm512_maddubs_epi16(_mm512_abs_epi8(w),
                              _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x));
}
template <int n, int kRows, int kMax>
inline void add_dots(const W* w, const ActGroup* x, int first, I* sums) {
  constexpr bool kSigned = kMax > kUnsignedMax;
  constexpr int kFit = kSigned ? 1 : 32767 / (kMax * 254);
  constexpr int kRun = kFit < n ? kFit : n;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    __m512i run = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int s = 0; s < n; ++s) {
      const __m512i q = w_broadcast32(x[r].q + 4 * (first + s));
      const __m512i pairs = kSigned ? pair_sums_signed(w[s], q) : pair_sums(w[s], q);
      run = s % kRun == 0 ? pairs : _mm512_add_epi16(run, pairs);
      if (s % kRun == kRun - 1 || s == n - 1)
        sums[r] = _mm512_add_epi32(sums[r], _mm512_madd_epi16(run, _mm512_set1_epi16(1)));
    }
  }
}
template <int n, int kRows, int kMax, typename X>
inline void add_pair_dots(const W* w, const X* x, int from, I* first, I* second) {
  static_assert(kMax <= kUnsignedMax);
  constexpr int kFit = 32767 / (kMax * 254);
  constexpr int kRun = kFit < n ? kFit : n;
  const __m512i ones = _mm512_set1_epi16(1);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    __m512i run[2] = {};
#pragma GCC unroll 8
    for (int s = 0; s < n; ++s) {
      const __m512i q = w_broadcast64(x[r].q + 8 * (from + s));
      const __m512i pairs[2] = {pair_sums(w[from + s], q), pair_sums(w[from + s + 8], q)};
      run[0] = s % kRun == 0 ? pairs[0] : _mm512_add_epi16(run[0], pairs[0]);
      run[1] = s % kRun == 0 ? pairs[1] : _mm512_add_epi16(run[1], pairs[1]);
      if (s % kRun == kRun - 1 || s == n - 1) {
        first[r] = _mm512_add_epi32(first[r], _mm512_madd_epi16(run[0], ones));
        second[r] = _mm512_add_epi32(second[r], _mm512_madd_epi16(run[1], ones));
      }
    }
  }
}
constexpr int kTurnRows = 1;
constexpr int kPassRows = 8;
constexpr bool kManyGroups = true;
constexpr bool kManySubBlocks = true;
constexpr bool kManyGroupPairs = true;
constexpr bool kManyFloats = true;
#endif
constexpr int kScoreRows = 12;
constexpr int kScoreBlocks = 4;
constexpr int kValueRows = 6;
constexpr int kRegisters = 32;  // of 16 floats
