#include "store/gguf_types.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace pippin::store {
namespace {

using enum TensorType;

struct NumberedType {
  std::string_view name;
  std::optional<TensorType> type;
};

constexpr std::array<NumberedType, 43> kNumbered = {{
    {"F32", kF32},                   // 0
    {"F16", kF16},                   // 1
    {"Q4_0", kQ4_0},                 // 2
    {"Q4_1", kQ4_1},                 // 3
    {"Q4_2 (withdrawn)", {}},        // 4
    {"Q4_3 (withdrawn)", {}},        // 5
    {"Q5_0", kQ5_0},                 // 6
    {"Q5_1", kQ5_1},                 // 7
    {"Q8_0", kQ8_0},                 // 8
    {"Q8_1", {}},                    // 9
    {"Q2_K", kQ2_K},                 // 10
    {"Q3_K", kQ3_K},                 // 11
    {"Q4_K", kQ4_K},                 // 12
    {"Q5_K", kQ5_K},                 // 13
    {"Q6_K", kQ6_K},                 // 14
    {"Q8_K", {}},                    // 15
    {"IQ2_XXS", kIQ2_XXS},           // 16
    {"IQ2_XS", kIQ2_XS},             // 17
    {"IQ3_XXS", kIQ3_XXS},           // 18
    {"IQ1_S", kIQ1_S},               // 19
    {"IQ4_NL", kIQ4_NL},             // 20
    {"IQ3_S", kIQ3_S},               // 21
    {"IQ2_S", kIQ2_S},               // 22
    {"IQ4_XS", kIQ4_XS},             // 23
    {"I8", {}},                      // 24
    {"I16", {}},                     // 25
    {"I32", {}},                     // 26
    {"I64", {}},                     // 27
    {"F64", {}},                     // 28
    {"IQ1_M", kIQ1_M},               // 29
    {"BF16", kBF16},                 // 30
    {"Q4_0_4_4 (withdrawn)", {}},    // 31
    {"Q4_0_4_8 (withdrawn)", {}},    // 32
    {"Q4_0_8_8 (withdrawn)", {}},    // 33
    {"TQ1_0", kTQ1_0},               // 34
    {"TQ2_0", kTQ2_0},               // 35
    {"IQ4_NL_4_4 (withdrawn)", {}},  // 36
    {"IQ4_NL_4_8 (withdrawn)", {}},  // 37
    {"IQ4_NL_8_8 (withdrawn)", {}},  // 38
    {"MXFP4", kMXFP4},               // 39
    {"NVFP4", kNVFP4},               // 40
    {"Q1_0", kQ1_0},                 // 41
    {"Q2_0", kQ2_0},                 // 42
}};

}  // namespace

std::optional<TensorType> tensor_type_of(uint32_t number) {
  return number < kNumbered.size() ? kNumbered[number].type : std::nullopt;
}

uint32_t tensor_type_number(TensorType type) {
  const auto row = std::ranges::find(kNumbered, std::optional(type), &NumberedType::type);
  CHECK(row != kNumbered.end(), "GGUF files have no such type");
  return static_cast<uint32_t>(row - kNumbered.begin());
}

std::string tensor_type_label(uint32_t number) {
  if (number < kNumbered.size()) return std::string(kNumbered[number].name);
  return "number " + std::to_string(number);
}

}  // namespace pippin::store
