// Tolerances of tests, from what rounding can do: the dtype's epsilon, the length of a sum, and the
// norms of what is multiplied. Two computed results take the sum of both sides' tolerances.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace pippin::test {

/// Unit roundoffs: the largest relative error of one rounding.
constexpr double kEpsilonF32 = 0x1p-24, kEpsilonF16 = 0x1p-11, kEpsilonBf16 = 0x1p-8;

/// Roundings are taken as independent errors, uniform over half a step to each side. Results may be
/// off by so many standard deviations: a million of them stay within.
/// Source: Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019.
constexpr double kDeviations = 6;

/// Returns the Euclidean norm of a range.
template <typename Values>
double norm_of(const Values& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

/// Returns the largest magnitude of a range.
template <typename Values>
double amax_of(const Values& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

/// The largest of a group of 32 values by their root mean square: 2 where they are normal, more
/// where they are products.
constexpr double kCrest = 4;

/// Half a step of codes of which `code_max` stands for `largest`.
inline double half_step(double largest, int code_max = 127) { return largest / code_max / 2; }

// Tolerances below, but for rounding_tolerance(), are kDeviations standard deviations. Errors that
// do not depend on each other add up by std::hypot(). A dot product of values that are off by a
// tolerance is off by that tolerance times the norm of its other factor.

/// `count` roundings of a value, all of them at their worst.
inline double rounding_tolerance(double epsilon, double count, double magnitude) {
  return epsilon * count * magnitude;
}

/// A sum that is rounded at each of its terms. `magnitude`: what their magnitudes add up to.
/// Partial sums grow to at most that, so the mean of their squares is at most a third of its
/// square.
inline double sum_tolerance(double epsilon, double terms, double magnitude) {
  return kDeviations / 3 * epsilon * std::sqrt(terms) * magnitude;
}

/// A dot product of k terms, by the norms of its factors (Cauchy and Schwarz).
inline double dot_tolerance(double epsilon, double k, double norm_a, double norm_b) {
  return sum_tolerance(epsilon, k, norm_a * norm_b);
}

/// A dot product whose one factor is rounded to codes, each off by up to `half_step`. `norm`: of
/// the other factor.
inline double code_tolerance(double half_step, double norm) {
  return kDeviations / std::sqrt(3.0) * half_step * norm;
}

/// A value divided by the root of the mean of k squares, then scaled: the root halves the error of
/// the sum.
inline double rms_norm_tolerance(double epsilon, double k, double magnitude) {
  return sum_tolerance(epsilon, k, magnitude) / 2 + rounding_tolerance(epsilon, 4, magnitude);
}

/// A softmax's probability. Scores less the largest are rounded, exponentials, and a sum of
/// `terms`.
inline double softmax_tolerance(double epsilon, double probability, double terms) {
  const double score = probability > 0 ? std::abs(std::log(probability)) : 0;
  return rounding_tolerance(epsilon, 2 * score + 8, probability) +
         sum_tolerance(epsilon, terms, probability);
}

/// An average of values, weighted by the softmax of scores that are off by `scores`. A value's
/// weight w moves the average by w (1 - w) of the distance between values: by a quarter at most,
/// twice.
inline double average_tolerance(double scores, double magnitude) {
  return scores * magnitude / std::sqrt(2.0);
}

/// y = Wd (gate(Wg x) * Wu x) by the norms of x and of the matrices' rows; k, f: their lengths.
/// `code_max`: of int8 activations, 0 for floats. SiLU and GELU grow at most 1.13 times as fast as
/// what they take; hence 1.5 = hypot(1.13, 1).
inline double feed_forward_tolerance(double x_norm, double up_norm, double down_norm, double k,
                                     double f, int code_max = 0) {
  const double x_rms = x_norm / std::sqrt(k), inner = x_norm * up_norm / std::sqrt(k);
  const double hidden = inner * inner;  // root mean square
  double first = dot_tolerance(kEpsilonF32, k, x_norm, up_norm), codes = 0;
  if (code_max > 0) {
    first = std::hypot(first, code_tolerance(half_step(kCrest * x_rms, code_max), up_norm));
    codes = code_tolerance(half_step(kCrest * hidden, code_max), down_norm);
  }
  const double passed = 1.5 * inner * first * down_norm;
  const double last = dot_tolerance(kEpsilonF32, f, hidden * std::sqrt(f), down_norm);
  return std::hypot(passed, std::hypot(codes, last));
}

/// A model's logits, of root mean square `rms`. Each of `operations` adds an error of the share
/// `deviation` of its outputs; those in the residual stream are independent.
inline double model_tolerance(double deviation, double operations, double rms) {
  return kDeviations * deviation * std::sqrt(operations) * rms;
}

}  // namespace pippin::test
