// Xielu: an activation whose curve is learned. Thread: any.
#pragma once

namespace pippin::nn {

/// For x > 0: alpha_p x^2 + beta x; else alpha_n (exp(min(x, eps)) - 1 - x) + beta x. Source:
/// Huang, Schlag, Deriving Activation Functions Using Integration, 2024.
struct Xielu {
  float alpha_p = 0, alpha_n = 0, beta = 0, eps = 0;
};

}  // namespace pippin::nn
