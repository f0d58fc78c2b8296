// Integer dot products in AVX-VNNI, after simd_avx2-inl.h and simd_dot_sums-inl.h: one instruction,
// no 16-bit limit. Included inside an unnamed namespace by kernels_avx2vnni.cpp; hence no includes
// here.

inline __m256i dot4(__m256i sum, __m256i w, __m256i x) {
#if defined(__AVXVNNI__)
  return _mm256_dpbusd_avx_epi32(sum, w, x);
#else  // the same instruction in AVX-512's encoding
  return _mm256_dpbusd_epi32(sum, w, x);
#endif
}

#define PIPPIN_DOT_BY_CODES
constexpr int kUnsignedMax = 255;  // larger codes lose their offset in add()
/// The sums (DotSums), fed one sub-vector of codes at a time.
template <int kRows, bool kSubBlocks16, int kMax, bool kBegun>
struct DotRows : DotSums<kRows, kSubBlocks16, kBegun> {
  template <int s, typename X>
  void add(W w, const X* x) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i codes = activations(x[r], s);
      I& total = this->sum[kSubBlocks16 ? s / 4 : 0][r];
      total = {dot4(total.a, w.a, codes), dot4(total.b, w.b, codes)};
    }
  }
};
