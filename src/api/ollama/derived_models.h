// DerivedModels: the models that clients have made of others by create and copy: a name, a base and
// what is set on top of it. Each is a small JSON file in a folder, which other processes may
// change. Thread: any.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::api::ollama {

/// What lists tell of a made model.
struct DerivedHead {
  std::string name;  // with its tag
  std::string from;  // the served model below; never another made one
  int64_t modified_unix_s = 0;
};

struct DerivedModel : DerivedHead {
  std::string system;
  std::string template_text;       // in Go's template language; empty: the base's own
  std::string license;             // empty: the base's own
  boost::json::object parameters;  // as "options" in requests
  boost::json::array messages;     // [{"role", "content"}, ..]: the beginning of every chat
};

/// The heads of the models in all folders, so that a list reads only the files that have changed.
class DerivedIndex {
 public:
  /// Returns those in a folder, by name. What cannot be read is left out.
  std::vector<DerivedHead> list(const std::string& folder);

 private:
  struct File {
    uint64_t inode = 0, bytes = 0;
    int64_t changed = 0;
    std::optional<DerivedHead> head;  // nothing: it is no model
  };
  using Folder = std::map<std::string, File>;

  static File look_at(const std::string& path, const Folder& before);

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Folder>> folders_;
};

/// What the models of one folder may take, as files.
constexpr uint64_t kDerivedBytesMax = uint64_t{64} << 20;

class DerivedModels {
 public:
  /// An empty folder: nothing can be kept. All that is in the folder takes `bytes_max` at most.
  DerivedModels(std::string folder, std::shared_ptr<DerivedIndex> index,
                uint64_t bytes_max = kDerivedBytesMax)
      : folder_(std::move(folder)), index_(std::move(index)), bytes_max_(bytes_max) {}

  /// Returns all, by name. What cannot be read is left out.
  std::vector<DerivedHead> list() const;
  /// Returns the model of a name, with or without its tag.
  std::optional<DerivedModel> find(std::string_view name) const;
  /// Adds or replaces. Errors: kInvalidArgument for a name that cannot be one; kUnavailable if
  /// there is no folder, or it cannot be written; kTooLarge for more models than a person makes, or
  /// more bytes than the folder may take.
  Result<void> keep(const DerivedModel& model) const;
  /// Returns whether there was one. Errors: kUnavailable.
  Result<bool> remove(std::string_view name) const;

 private:
  std::string path_of(std::string_view name) const;

  std::string folder_;
  std::shared_ptr<DerivedIndex> index_;
  uint64_t bytes_max_;
};

}  // namespace pippin::api::ollama
