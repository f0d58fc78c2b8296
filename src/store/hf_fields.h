// HfFields: typed, bounded look-ups in an object of a config.json. Internal to store. Thread: any.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/hf_family.h"

namespace pippin::store {

/// Borrows the object and the path. A field that is null counts as absent.
class HfFields {
 public:
  /// `within` names the object in messages: "" or "rope_scaling.".
  HfFields(const boost::json::object& object, const std::string& path, std::string within = {})
      : object_(object), path_(path), within_(std::move(within)) {}
  /// Returns the same object, whose fields may go by a family's own names, too.
  HfFields with_names(std::span<const FieldName> names) const {
    HfFields named = *this;
    named.names_ = names;
    return named;
  }

  /// A key that was looked up counts as read, also by copies of this.
  const boost::json::value* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Errors of all: kInvalidFile naming the field, when it is of another kind or out of bounds, or
  /// absent where there is no default.
  Result<int> size(std::string_view key, int min, int max, std::optional<int> otherwise = {}) const;
  /// The same of a field that may have a list of one number for each layer. Errors: kUnsupported,
  /// too, where they differ.
  Result<int> size_of_all(std::string_view key, int min, int max,
                          std::optional<int> otherwise = {}) const;
  Result<double> number(std::string_view key, double min, double max,
                        std::optional<double> otherwise = {}) const;
  Result<bool> flag(std::string_view key, bool otherwise) const;
  Result<std::string> text(std::string_view key, std::optional<std::string> otherwise = {}) const;
  /// A list of `count` texts, or numbers.
  Result<std::vector<std::string>> texts(std::string_view key, size_t count) const;
  Result<std::vector<double>> numbers(std::string_view key, size_t count) const;
  /// The length of the list under a key, or nothing.
  std::optional<int> length(std::string_view key) const;
  /// The object under a key, or nothing.
  Result<std::optional<HfFields>> object(std::string_view key) const;

  /// The keys of this object that nobody looked up, in the file's order.
  std::vector<std::string> unread() const;

  const boost::json::object& json() const { return object_; }
  Error wrong(std::string_view key, std::string_view what) const;
  Error unsupported(std::string_view key, std::string_view what) const;

 private:
  const boost::json::object& object_;
  const std::string& path_;
  std::string within_;
  std::span<const FieldName> names_;
  using Keys = std::set<std::string, std::less<>>;
  std::shared_ptr<Keys> read_ = std::make_shared<Keys>();
};

}  // namespace pippin::store
