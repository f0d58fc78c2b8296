// The 16-lane vector vocabulary (simd_portable-inl.h) on AVX2, FMA and F16C: each vector is two
// registers. Included inside an unnamed namespace by one .cpp file per instruction set; hence no
// includes here.

struct F {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};
using W = I;

inline __m256i load32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m128i load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

inline F f_zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F f_set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F f_load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void f_store(float* p, F x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline F f_add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F f_sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F f_mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F f_div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F f_max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline F f_min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline F f_fma(F x, F y, F z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline F f_fnma(F x, F y, F z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
inline F f_abs(F x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline F f_from_int(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline F f_from_half(const uint16_t* p) {
  return {_mm256_cvtph_ps(load16(p)), _mm256_cvtph_ps(load16(p + 8))};
}
inline __m256 bfloat8(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16));
}
inline F f_from_bfloat(const uint16_t* p) { return {bfloat8(p), bfloat8(p + 8)}; }
inline void f_to_half(uint16_t* p, F x) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, kNearest));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, kNearest));
}
inline F f_from_u8(const uint8_t* p) {
  return f_from_int({_mm256_cvtepu8_epi32(load8(p)), _mm256_cvtepu8_epi32(load8(p + 8))});
}
inline F f_from_s8(const uint8_t* p) {
  return f_from_int({_mm256_cvtepi8_epi32(load8(p)), _mm256_cvtepi8_epi32(load8(p + 8))});
}
inline float f_reduce_max(F x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline float f_reduce_add(F x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline __m256 exponent8(const uint8_t* p) {
  const __m256i e = _mm256_cvtepu8_epi32(load8(p));
  const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
  return _mm256_castsi256_ps(
      _mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}
inline F f_from_exponent(const uint8_t* p) { return {exponent8(p), exponent8(p + 8)}; }
inline I i_round(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline I i_set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I i_add(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline int32_t i_reduce_add(I x) {
  const __m256i eight = _mm256_add_epi32(x.a, x.b);
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}
inline void i_store_s8(int8_t* p, I x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline void i_store_s16(int16_t* p, I x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}
inline F f_exp2_int(I n) {
  const __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.a, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.b, bias), 23))};
}
inline __m256 select8_bit0(__m256i n, __m256 set, __m256 clear) {
  return _mm256_blendv_ps(clear, set, _mm256_castsi256_ps(_mm256_slli_epi32(n, 31)));
}
inline F f_select_bit0(I n, F set, F clear) {
  return {select8_bit0(n.a, set.a, clear.a), select8_bit0(n.b, set.b, clear.b)};
}
inline __m256 negate8_bit1(__m256i n, __m256 x) {
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(n, _mm256_set1_epi32(2)), 30);
  return _mm256_xor_ps(x, _mm256_castsi256_ps(sign));
}
inline F f_negate_bit1(I n, F x) { return {negate8_bit1(n.a, x.a), negate8_bit1(n.b, x.b)}; }
inline F f_swap_pairs(F x) { return {_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)}; }

inline W w_load(const uint8_t* p) { return {load32(p), load32(p + 32)}; }
inline void w_store(uint8_t* p, W x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), x.b);
}
template <int kShift, int kMask>
inline __m256i bits32(__m256i x) {
  if constexpr (kShift > 0) x = _mm256_slli_epi16(x, kShift);
  if constexpr (kShift < 0) x = _mm256_srli_epi16(x, -kShift);
  return _mm256_and_si256(x, _mm256_set1_epi8(static_cast<char>(kMask)));
}
template <int kShift, int kMask>
inline W w_bits(W x) {
  return {bits32<kShift, kMask>(x.a), bits32<kShift, kMask>(x.b)};
}
template <int kShift, int kMask>
inline W w_or_bits(W base, W x) {
  return {_mm256_or_si256(base.a, bits32<kShift, kMask>(x.a)),
          _mm256_or_si256(base.b, bits32<kShift, kMask>(x.b))};
}
using WTable = __m256i;
inline WTable w_table(const Codebook& book) {
  return _mm256_broadcastsi128_si256(load16(book.codes));
}
inline W w_lookup(const WTable& table, W x) {
  return {_mm256_shuffle_epi8(table, x.a), _mm256_shuffle_epi8(table, x.b)};
}
template <int k>
inline I w_lane_byte(W x) {
  const __m256i mask = _mm256_set1_epi32(255);
  return {_mm256_and_si256(_mm256_srli_epi32(x.a, 8 * k), mask),
          _mm256_and_si256(_mm256_srli_epi32(x.b, 8 * k), mask)};
}

template <int kShift>
inline I i_set1_shifted(int32_t x) {
  __m256i shifted = _mm256_set1_epi32(x);
  if constexpr (kShift > 0) shifted = _mm256_slli_epi32(shifted, kShift);
  return {shifted, shifted};
}
inline W w_pairs(const uint8_t* low, const uint8_t* high) {
  const auto pair = [](const uint8_t* l, const uint8_t* h) {
    return _mm256_or_si256(_mm256_cvtepu8_epi32(load8(l)),
                           _mm256_slli_epi32(_mm256_cvtepu8_epi32(load8(h)), 16));
  };
  return {pair(low, high), pair(low + 8, high + 8)};
}
inline W w_signed_pairs(const uint8_t* low, const uint8_t* high) {
  const auto pair = [](const uint8_t* l, const uint8_t* h) {
    return _mm256_blend_epi16(_mm256_cvtepi8_epi32(load8(l)),
                              _mm256_slli_epi32(_mm256_cvtepi8_epi32(load8(h)), 16), 0xaa);
  };
  return {pair(low, high), pair(low + 8, high + 8)};
}
inline W w_pairs_s8(const uint8_t* p) {
  return {_mm256_cvtepi8_epi16(load16(p)), _mm256_cvtepi8_epi16(load16(p + 16))};
}
inline I i_dpwssd_broadcast(I acc, W pairs, int32_t two) {
  const __m256i x = _mm256_set1_epi32(two);
  return {_mm256_add_epi32(acc.a, _mm256_madd_epi16(pairs.a, x)),
          _mm256_add_epi32(acc.b, _mm256_madd_epi16(pairs.b, x))};
}

inline W w_pack(I x, I y) { return {_mm256_packs_epi32(x.a, y.a), _mm256_packs_epi32(x.b, y.b)}; }
inline I i_dpwssd(I acc, W x, W y) {
  return {_mm256_add_epi32(acc.a, _mm256_madd_epi16(x.a, y.a)),
          _mm256_add_epi32(acc.b, _mm256_madd_epi16(x.b, y.b))};
}
inline F f_even(F x, F y) {
  return {_mm256_shuffle_ps(x.a, y.a, 0x88), _mm256_shuffle_ps(x.b, y.b, 0x88)};
}
inline F f_odd(F x, F y) {
  return {_mm256_shuffle_ps(x.a, y.a, 0xdd), _mm256_shuffle_ps(x.b, y.b, 0xdd)};
}

inline I i_set2(const int32_t* two) {
  int64_t both;
  __builtin_memcpy(&both, two, 8);
  return {_mm256_set1_epi64x(both), _mm256_set1_epi64x(both)};
}

/// The activations of sub-vector s: four, the same in every lane, or those of an interleaved pair.
inline __m256i activations(const ActGroup& x, int s) {
  int32_t four;
  __builtin_memcpy(&four, x.q + 4 * s, 4);
  return _mm256_set1_epi32(four);
}
inline __m256i activations(const auto& x, int s) {
  int64_t eight;
  __builtin_memcpy(&eight, x.q + 8 * s, 8);
  return _mm256_set1_epi64x(eight);
}

// Scaled sums without a multiplication (simd_avx512-inl.h). Here an addition brings them to the
// origin.
#define PIPPIN_SCALED_SUMS
inline F scaled(I sum, const ActGroup& x) {
  const __m256 origin = _mm256_set1_ps(x.origin);
  const __m256i bits = _mm256_castps_si256(origin);
  return {_mm256_sub_ps(_mm256_castsi256_ps(_mm256_add_epi32(sum.a, bits)), origin),
          _mm256_sub_ps(_mm256_castsi256_ps(_mm256_add_epi32(sum.b, bits)), origin)};
}

constexpr int kPassRows = 4;
constexpr bool kManyGroups = true;
constexpr bool kManySubBlocks = true;
constexpr bool kManyGroupPairs = true;
constexpr bool kManyFloats = true;
constexpr int kScoreRows = 6;
constexpr int kScoreBlocks = 2;
constexpr int kValueRows = 6;
constexpr int kRegisters = 8;  // of 16 floats
