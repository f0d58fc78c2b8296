// Which GGUF files of a repository or a folder make a model, and which model a name means. Thread:
// any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::hub {

/// The files of one model: one, or the shards "NAME-00001-of-00003.gguf" in order.
struct GgufGroup {
  std::vector<std::string> files;
  int shards = 1;     // how many there should be
  std::string quant;  // "Q4_K_M"; empty where the name does not say
  bool complete() const { return files.size() == static_cast<size_t>(shards); }
};

/// Groups the GGUF files among `paths`, in their order by name. Vision projectors, importance
/// matrices and draft heads (mmproj-, imatrix-, mtp-, ...) are no models and left out.
std::vector<GgufGroup> group_gguf(std::span<const std::string> paths);

/// Returns the group that `selector` means: a file's path; or a quant, in any case; or, if empty,
/// Q4_K_M, else Q8_0, else the first by name, as llama.cpp's -hf chooses. Incomplete groups do not
/// count. Errors: kNotFound, naming what there is.
Result<GgufGroup> choose_gguf(const std::vector<GgufGroup>& groups, std::string_view selector);

/// Returns the quant that a file's name ends with, upper case, or an empty text.
std::string quant_of(std::string_view path);

}  // namespace pippin::hub
