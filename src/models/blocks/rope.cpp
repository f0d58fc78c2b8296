#include "models/blocks/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pippin::models {
namespace {

// Which pair turns so many times over the original context.
double pair_of_turns(const store::RopeConfig& rope, double base, double turns) {
  return rope.dims * std::log(rope.original_context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(base));
}

// YaRN: fast pairs stay, slow ones are stretched, those between change over linearly.
class YarnRamp {
 public:
  YarnRamp(const store::RopeConfig& rope, double base)
      : low_(pair_of_turns(rope, base, rope.yarn_beta_fast)),
        high_(pair_of_turns(rope, base, rope.yarn_beta_slow)) {
    if (rope.yarn_truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, rope.dims - 1.0);
    if (low_ == high_) high_ += 0.001;
  }
  // The share of a pair's frequency that is stretched.
  double stretched(size_t pair) const {
    return std::clamp((static_cast<double>(pair) - low_) / (high_ - low_), 0.0, 1.0);
  }

 private:
  double low_, high_;
};

bool is_rotated(const store::ModelConfig& config, const DecoderOptions& options, int layer,
                bool windowed) {
  if (!config.rope.layers.empty()) return config.rope.layers[static_cast<size_t>(layer)];
  if (options.rope_windows_only && config.sliding_window > 0) return windowed;
  return options.rope_skip_period <= 0 || (layer + 1) % options.rope_skip_period != 0;
}

}  // namespace

Rope make_rope(const store::ModelConfig& config, const DecoderOptions& options, int layer,
               bool windowed, const std::vector<float>& divisors) {
  Rope made;
  const store::RopeConfig& rope = config.rope;
  if (!is_rotated(config, options, layer, windowed)) return made;
  made.dims = windowed && rope.dims_window > 0 ? rope.dims_window : rope.dims;
  double base = rope.freq_base;
  if (windowed && rope.freq_base_window > 0)
    base = rope.freq_base_window;
  else if (windowed && options.window_rope_base > 0)
    base = static_cast<double>(options.window_rope_base);
  const bool scaled = !(windowed && options.rope_windows_unscaled);
  const bool yarn = scaled && rope.scaling == store::RopeScaling::kYarn;
  const double stretch = scaled && rope.scaling == store::RopeScaling::kLinear ? rope.factor : 1.0;
  if (scaled && rope.scaling != store::RopeScaling::kLinear)
    made.magnitude = static_cast<float>(rope.attention_factor);
  const YarnRamp ramp(rope, base);
  made.inv_freq.resize(static_cast<size_t>(made.dims / 2));
  for (size_t i = 0; i < made.inv_freq.size(); ++i) {
    double frequency = std::pow(base, -2.0 * static_cast<double>(i) / made.dims) / stretch;
    if (scaled && !divisors.empty()) frequency /= static_cast<double>(divisors[i]);
    if (yarn) {
      const double share = ramp.stretched(i);
      frequency = frequency / rope.factor * share + frequency * (1 - share);
    }
    made.inv_freq[i] = static_cast<float>(frequency);
  }
  return made;
}

}  // namespace pippin::models
