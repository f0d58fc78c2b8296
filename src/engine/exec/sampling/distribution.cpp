#include "engine/exec/sampling/distribution.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace pippin::engine::sampling {
namespace {

constexpr float kTemperatureMin = 1e-5f;
constexpr float kTemperatureMax = 1e6f;
/// A nucleus is first looked for among so many tokens.
constexpr size_t kNucleusGuess = 256;

bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Returns the tokens with logits at `threshold` or above, in no particular order.
std::vector<Candidate> collect(std::span<const float> logits, const Maxima& maxima,
                               float threshold) {
  std::vector<Candidate> found;
  for_each_at_least(logits, maxima, threshold, [&](size_t i) {
    if (logits[i] > kMasked) found.push_back({static_cast<Token>(i), logits[i]});
  });
  return found;
}

}  // namespace

std::vector<Candidate> largest(std::span<const float> logits, const Maxima& maxima, size_t n,
                               float floor) {
  if (n == 0) return {};
  float bound = floor;
  if (n < maxima.lanes.size()) {
    // As many tokens reach the n-th largest of the lane maxima.
    std::vector<float> lanes = maxima.lanes;
    const auto nth = lanes.begin() + static_cast<std::ptrdiff_t>(n) - 1;
    std::nth_element(lanes.begin(), nth, lanes.end(), std::greater<>());
    bound = std::max(bound, *nth);
  }
  std::vector<Candidate> found = collect(logits, maxima, bound);
  if (found.size() > n) {
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n), found.end(),
                     before);
    found.resize(n);
  }
  std::sort(found.begin(), found.end(), before);
  return found;
}

Distribution::Distribution(std::span<float> logits, const Maxima& maxima)
    : logits_(logits), maxima_(maxima), max_(maxima.max) {
  CHECK(std::isfinite(max_), "a distribution needs a finite largest logit");
}

double Distribution::mass(ExpTerms terms) const {
  if (dense_) return exp_sum(logits_, terms);
  double sum = 0;
  for (const Candidate& item : items_) sum += exp_of((item.logit - terms.max) * terms.scale);
  return sum;
}

double Distribution::entropy() const {
  const double sum = mass(plain_terms());
  double weighted = 0;
  if (dense_) {
    weighted = weighted_exp_sum(logits_, plain_terms());
  } else {
    for (const Candidate& item : items_) {
      const float off = item.logit - max_;
      if (const float term = exp_of(off); term > 0) weighted += static_cast<double>(term * off);
    }
  }
  return std::log(sum) - weighted / sum;
}

size_t Distribution::size() const {
  if (!dense_) return items_.size();
  return static_cast<size_t>(std::count_if(logits_.begin(), logits_.end(),
                                           [this](float x) { return x > kMasked && x >= floor_; }));
}

std::vector<Candidate> Distribution::gather(float threshold) const {
  return collect(logits_, maxima_, std::max(threshold, floor_));
}

template <typename Less>
void Distribution::keep_mass(std::vector<Candidate>& items, float max, double target, Less less) {
  // Quickselect by mass: the cut lies in [begin, end), and `kept` is the mass before begin.
  size_t begin = 0, end = items.size();
  double kept = 0;
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    const auto at = [&](size_t i) { return items.begin() + static_cast<std::ptrdiff_t>(i); };
    std::nth_element(at(begin), at(middle), at(end), less);
    double half = 0;
    for (size_t i = begin; i < middle; ++i) half += exp_of(items[i].logit - max);
    if (kept + half >= target) {
      end = middle;
    } else {
      kept += half;
      begin = middle;
    }
  }
  items.resize(end);
}

void Distribution::raise_floor(float floor) {
  if (dense_) {
    floor_ = std::max(floor_, std::min(floor, max_));
  } else {
    const auto below = [floor](const Candidate& item) { return item.logit < floor; };
    items_.erase(std::find_if(items_.begin() + 1, items_.end(), below), items_.end());
  }
}

void Distribution::become(std::vector<Candidate> sorted) {
  CHECK(!sorted.empty(), "a cut left no token");
  dense_ = false;
  items_ = std::move(sorted);
  max_ = items_.front().logit;
}

void Distribution::keep_top_n_sigma(float n) {
  CHECK(dense_, "top_n_sigma comes before the cuts that shorten the row");
  const Moments moments = find_moments(logits_);
  raise_floor(static_cast<float>(max_ - n * moments.deviation));
}

void Distribution::keep_top_k(size_t k) {
  k = std::max<size_t>(k, 1);
  if (dense_) {
    if (k < logits_.size()) become(best(k));
  } else if (k < items_.size()) {
    items_.resize(k);
  }
}

void Distribution::keep_typical(float p) {
  std::vector<Candidate> items = dense_ ? gather(floor_) : items_;
  const double sum = mass(plain_terms());
  const auto centre =
      static_cast<float>(max_ + std::log(sum) - entropy());  // logit of that surprise
  keep_mass(items, max_, p * sum, [centre](const Candidate& a, const Candidate& b) {
    const float off_a = std::fabs(a.logit - centre), off_b = std::fabs(b.logit - centre);
    return off_a != off_b ? off_a < off_b : before(a, b);
  });
  std::sort(items.begin(), items.end(), before);
  become(std::move(items));
}

void Distribution::keep_top_p(float p) {
  const double sum = mass(plain_terms());
  const double target = p * sum;
  std::vector<Candidate> items = dense_ ? best(kNucleusGuess) : items_;
  double kept = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    kept += exp_of(items[i].logit - max_);
    if (kept < target) continue;
    items.resize(i + 1);
    become(std::move(items));
    return;
  }
  if (!dense_ || items.size() < kNucleusGuess) return;
  // Tokens below this bound have less than 1 - p together, so the nucleus is full before them.
  const double bound = std::log((1.0 - p) * sum / static_cast<double>(logits_.size()));
  items = gather(static_cast<float>(max_ + bound));
  keep_mass(items, max_, target, before);
  std::sort(items.begin(), items.end(), before);
  become(std::move(items));
}

void Distribution::keep_min_p(float p) { raise_floor(max_ + std::log(p)); }

void Distribution::exclude_top_choices(float threshold) {
  const double sum = mass(plain_terms());
  const auto least = static_cast<float>(max_ + std::log(threshold * sum));
  std::vector<Candidate> top = dense_ ? gather(least) : items_;
  std::sort(top.begin(), top.end(), before);
  const auto end = std::find_if(top.begin(), top.end(),
                                [least](const Candidate& item) { return item.logit < least; });
  if (end - top.begin() < 2) return;
  const auto kept = end - 1;
  if (dense_) {
    for (auto item = top.begin(); item != kept; ++item)
      logits_[static_cast<size_t>(item->token)] = kMasked;
  } else {
    items_.erase(items_.begin(), items_.begin() + (kept - top.begin()));
  }
  max_ = kept->logit;
}

void Distribution::set_temperature(float temperature) {
  scale_ = 1.0f / std::clamp(temperature, kTemperatureMin, kTemperatureMax);
}

void Distribution::set_dynamic_temperature(float temperature, float range, float exponent) {
  const size_t count = size();
  if (count < 2) return set_temperature(temperature);
  const double low = std::max(0.0f, temperature - range);
  const double high = temperature + range;
  const double share = std::clamp(entropy() / std::log(static_cast<double>(count)), 0.0, 1.0);
  set_temperature(static_cast<float>(low + (high - low) * std::pow(share, exponent)));
}

void Distribution::keep_surprise_at_most(float mu) {
  // -log2 p <= mu  <=>  (logit - max) * scale >= log(sum) - mu * ln 2
  const double lowest = std::log(mass(terms())) - mu * 0.69314718055994531;
  if (lowest > 0) return keep_top_k(1);
  raise_floor(static_cast<float>(max_ + lowest / scale_));
}

Distribution::Choice Distribution::draw(double u) const {
  std::vector<double> sums;
  const double sum = dense_ ? exp_sum(logits_, terms(), &sums) : mass(terms());
  double left = u * sum;
  Choice choice;
  const auto passes = [&](Token token, float term) {
    if (term <= 0) return false;
    choice = {token, term / sum};
    left -= term;
    return left < 0;
  };
  if (!dense_) {
    for (const Candidate& item : items_)
      if (passes(item.token, exp_of((item.logit - max_) * scale_))) break;
    return choice;
  }
  // Rounding may carry u past the last chunk with any mass: then that chunk's last token is the
  // choice.
  size_t chunk = 0;
  double before_chunk = 0, passed = 0;
  for (size_t i = 0; i < sums.size() && passed <= left; ++i) {
    if (sums[i] <= 0) continue;
    chunk = i;
    before_chunk = passed;
    passed += sums[i];
  }
  left -= before_chunk;
  const size_t begin = chunk * kChunk, count = std::min(kChunk, logits_.size() - begin);
  std::vector<float> weights(count);
  exp_terms(logits_.subspan(begin, count), terms(), weights);
  for (size_t i = 0; i < count; ++i)
    if (passes(static_cast<Token>(begin + i), weights[i])) break;
  return choice;
}

std::vector<Distribution::Choice> Distribution::choices() const {
  std::vector<Candidate> items = dense_ ? gather(floor_) : items_;
  std::sort(items.begin(), items.end(), before);
  const double sum = mass(terms());
  std::vector<Choice> out;
  for (const Candidate& item : items)
    out.push_back({item.token, exp_of((item.logit - max_) * scale_) / sum});
  return out;
}

}  // namespace pippin::engine::sampling
