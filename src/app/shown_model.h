// ShownModel: all that `pippin show` tells of a model, as text and as JSON. Plain data. Thread:
// any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hub/catalogue.h"
#include "service/models/load.h"
#include "service/models/memory_facts.h"

namespace pippin::app {

struct ShownModel {
  hub::LocalModel model;
  service::ModelDescription described;
  std::string device;  // "cpu"
  uint64_t budget_bytes = 0;
  std::vector<service::MemoryAt> memory;    // of one sequence, at several contexts
  std::optional<service::MemoryPlan> plan;  // of `pippin serve` with the same flags
  std::string plan_error;                   // why there is none, of a model that can be served

  /// Returns the KV groups; none of a model that cannot be served.
  std::vector<service::KvGroupFacts> groups() const;
  std::string to_json() const;
  /// Returns the facts as rows of a name and a value.
  std::vector<std::vector<std::string>> rows() const;
  /// Returns the table of memory at contexts, its head first; empty: none is known.
  std::vector<std::vector<std::string>> memory_rows() const;
};

/// A sampling option, and whether its value is the file's own.
struct SamplingDefault {
  std::string_view name;
  double value = 0;
  bool is_whole = false;
  bool in_file = false;
};
std::vector<SamplingDefault> sampling_defaults_of(const service::ModelDescription& described);

}  // namespace pippin::app
