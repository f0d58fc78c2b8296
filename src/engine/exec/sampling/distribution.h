// Distribution: what is left of a row's logits while options cut tokens away, and the draw from it.
// It stays a view of the whole row while a floor under the logits says all; otherwise it is a short
// sorted list. Thread: the device thread.
//
// Probabilities that decide a cut are those at temperature 1, over the tokens left by the cuts
// before; temperature applies to what is left at the end (llama.cpp's default order). Ties: the
// lower id comes first.
#pragma once

#include <span>
#include <vector>

#include "engine/core/types.h"
#include "engine/exec/sampling/simd_reductions.h"

namespace pippin::engine::sampling {

struct Candidate {
  Token token = 0;
  float logit = 0;
};

/// Returns the n largest logits at `floor` or above (fewer if there are fewer), largest first.
/// Requires: `maxima` are the logits'.
std::vector<Candidate> largest(std::span<const float> logits, const Maxima& maxima, size_t n,
                               float floor = kMasked);

class Distribution {
 public:
  /// Borrows both. Requires: `maxima` are the logits', maxima.max is finite, no NaN.
  Distribution(std::span<float> logits, const Maxima& maxima);

  /// Keeps logits >= max - n * sigma (standard deviation of all logits above -inf).
  /// Source: Tang et al., "Top-n-sigma: Not All Logits Are You Need", arXiv:2411.07641.
  void keep_top_n_sigma(float n);
  /// Keeps the k most probable tokens. Source: Fan et al., "Hierarchical Neural Story Generation",
  /// arXiv:1805.04833.
  void keep_top_k(size_t k);
  /// Keeps the smallest set of tokens of mass >= p whose surprise -log p is nearest to the entropy.
  /// Source: Meister et al., "Locally Typical Sampling", arXiv:2202.00666.
  void keep_typical(float p);
  /// Keeps the smallest set of most probable tokens of mass >= p.
  /// Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv:1904.09751.
  void keep_top_p(float p);
  /// Keeps tokens with at least p times the largest probability.
  /// Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", arXiv:2407.01082.
  void keep_min_p(float p);
  /// Of the tokens with probability >= threshold, drops all but the least probable, if there are
  /// two or more. Source: P. E. Weidmann, "Exclude Top Choices (XTC)", text-generation-webui pull
  /// request 6335.
  void exclude_top_choices(float threshold);

  /// Requires: temperature > 0.
  void set_temperature(float temperature);
  /// Sets the temperature between max(0, t - range) and t + range by the entropy over its maximum,
  /// to the power of `exponent`. Source: kalomaze, "Dynamic Temperature", koboldcpp; the form of
  /// llama.cpp's temp-ext sampler.
  void set_dynamic_temperature(float temperature, float range, float exponent);

  /// Keeps tokens with a surprise -log2 p <= mu at the temperature set, at least the best one.
  /// Source: Basu et al., "Mirostat", arXiv:2007.14966 (version 2.0: the reference implementation's
  /// truncation).
  void keep_surprise_at_most(float mu);

  struct Choice {
    Token token = 0;
    double probability = 0;  // among the tokens left, at the temperature set
  };
  /// Returns the token at the point u of [0, 1) of the distribution.
  Choice draw(double u) const;
  /// Returns all tokens left, most probable first. For tests.
  std::vector<Choice> choices() const;

 private:
  ExpTerms terms() const { return {max_, scale_, floor_}; }
  ExpTerms plain_terms() const { return {max_, 1.0f, floor_}; }
  /// Returns the sum of exp(logit - max) of the tokens left, and of exp((logit - max) * scale) for
  /// `terms`.
  double mass(ExpTerms terms) const;
  double entropy() const;
  size_t size() const;
  std::vector<Candidate> gather(float threshold) const;
  std::vector<Candidate> best(size_t n) const { return largest(logits_, maxima_, n, floor_); }
  /// Keeps the shortest prefix, in `less` order, with exp(logit - max) summing to at least
  /// `target`.
  template <typename Less>
  static void keep_mass(std::vector<Candidate>& items, float max, double target, Less less);
  void raise_floor(float floor);
  void become(std::vector<Candidate> sorted);

  std::span<float> logits_;
  const Maxima& maxima_;
  float max_;           // of the tokens left
  float scale_ = 1.0f;  // 1 / temperature
  bool dense_ = true;
  float floor_ = kMasked;         // dense: tokens below are out
  std::vector<Candidate> items_;  // not dense: the tokens left, in order
};

}  // namespace pippin::engine::sampling
