// The numbers that GGUF files use for tensor types. Internal to store. Source: enum ggml_type of
// ggml.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/tensor.h"

namespace pippin::store {

/// Returns the type of that number, or nothing for one that this build cannot read.
std::optional<TensorType> tensor_type_of(uint32_t number);

/// Returns the number of a type. Requires: GGUF files have it.
uint32_t tensor_type_number(TensorType type);

/// Returns the name of any type that ggml has ever had, or "number N".
std::string tensor_type_label(uint32_t number);

}  // namespace pippin::store
