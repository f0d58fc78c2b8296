// The activation quantiser of the x86 paths: simd_portable.h's quantize_group in AVX2.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.

inline __m256i round_codes(__m256 x, __m256 inverse) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
}

template <bool kPowerOfTwo>
inline void quantize_group(const float* x, ActGroup& out) {
  const __m256 x0 = _mm256_loadu_ps(x);
  const __m256 x1 = _mm256_loadu_ps(x + 8);
  const __m256 x2 = _mm256_loadu_ps(x + 16);
  const __m256 x3 = _mm256_loadu_ps(x + 24);
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 eight =
      _mm256_max_ps(_mm256_max_ps(_mm256_andnot_ps(sign, x0), _mm256_andnot_ps(sign, x1)),
                    _mm256_max_ps(_mm256_andnot_ps(sign, x2), _mm256_andnot_ps(sign, x3)));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  const float peak = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  const bool some = peak > kPeakLeast;
  const GroupScale scale = group_scale<kPowerOfTwo>(peak, some);
  const __m256 inverse = _mm256_set1_ps(scale.inverse);
  const __m256i low = _mm256_packs_epi32(round_codes(x0, inverse), round_codes(x1, inverse));
  const __m256i high = _mm256_packs_epi32(round_codes(x2, inverse), round_codes(x3, inverse));
  // The packs leave 4-byte pieces in the order 0 2 4 6 | 1 3 5 7.
  const __m256i codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_store_si256(reinterpret_cast<__m256i*>(out.q), codes);

  // Sums of 8 codes each, biased by 128, as the even 4-byte lanes 0, 2 (low half) and 4, 6 (high
  // half); odd lanes are zero.
  const __m256i flipped = _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80)));
  const __m256i eights = _mm256_sad_epu8(flipped, _mm256_setzero_si256());
  const __m256i halves =
      _mm256_add_epi32(eights, _mm256_shuffle_epi32(eights, 0x4e));  // lane 0: low, lane 4: high
  // The fields after q: scale, sum, negative_sum, negative_half[2], origin, then zeros.
  const __m256i first =
      _mm256_permutevar8x32_epi32(halves, _mm256_setr_epi32(1, 0, 0, 0, 4, 1, 1, 1));
  const __m256i second =
      _mm256_permutevar8x32_epi32(halves, _mm256_setr_epi32(1, 4, 4, 1, 1, 1, 1, 1));
  const __m256i bias = _mm256_setr_epi32(0, 4096, 4096, 2048, 2048, 0, 0, 0);
  const __m256i sums = _mm256_sub_epi32(_mm256_add_epi32(first, second), bias);
  const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale.scale));
  const __m256i shifts = _mm256_setr_epi32(0, 0, 0, kHalfShift, kHalfShift, 0, 0, 0);
  const __m256 negative = _mm256_castsi256_ps(
      _mm256_sllv_epi32(_mm256_sub_epi32(_mm256_setzero_si256(), sums), shifts));
  __m256 fields = _mm256_blend_ps(scaled, negative, 0x1c);
  fields = _mm256_blend_ps(fields, _mm256_set1_ps(scale.scale), 1);
  fields = _mm256_blend_ps(fields, _mm256_set1_ps(12582912.0f * scale.scale), 0x20);
  _mm256_store_ps(&out.scale, fields);
}
