// Integer dot products in NEON, after simd_neon-inl.h and simd_dot_sums-inl.h.
// Included inside an unnamed namespace by kernels_neon.cpp; hence no includes here.

// The dot product instruction takes signed bytes. Full 8-bit codes lose their offset of 128;
// smaller ones are positive as they are.
template <int kMax>
inline W w_ready(W codes) {
  if constexpr (kMax > 127) PIPPIN_FOUR(i) codes.v[i] = veorq_u8(codes.v[i], vdupq_n_u8(0x80));
  return codes;
}

#define PIPPIN_DOT_BY_CODES
constexpr int kUnsignedMax = 127;  // larger codes lose their offset in add()
/// The sums (DotSums), fed one sub-vector of codes at a time.
template <int kRows, bool kSubBlocks16, int kMax, bool kBegun>
struct DotRows : DotSums<kRows, kSubBlocks16, kBegun> {
  template <int s>
  void add(W codes, const ActGroup* x) {
    const W w = w_ready<kMax>(codes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int8x16_t q = vld1q_s8(x[r].q + 16 * (s / 4));
      I& total = this->sum[kSubBlocks16 ? s / 4 : 0][r];
      PIPPIN_FOUR(i)
      total.v[i] = vdotq_laneq_s32(total.v[i], vreinterpretq_s8_u8(w.v[i]), q, s % 4);
    }
  }
  template <int s, typename Pairs>
  void add(W w, const Pairs* x) {
    static_assert(kMax <= 127);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int8x8_t eight = vld1_s8(x[r].q + 8 * s);
      const int8x16_t q = vcombine_s8(eight, eight);
      I& total = this->sum[kSubBlocks16 ? s / 4 : 0][r];
      PIPPIN_FOUR(i) total.v[i] = vdotq_s32(total.v[i], vreinterpretq_s8_u8(w.v[i]), q);
    }
  }
};
