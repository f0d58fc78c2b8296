// The small files of a model's folder: text and JSON, of bounded size. Internal to store.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "base/result.h"

namespace pippin::store {

/// Returns a file's bytes. Errors: kNotFound; kPermissionDenied; kInvalidFile, also of one that is
/// larger than is sane.
Result<std::string> read_hf_text(const std::string& folder, const std::string& name);

/// Returns a file's object; an empty one where the file is absent. Errors: as above.
Result<boost::json::object> read_hf_json(const std::string& folder, const std::string& name);

}  // namespace pippin::store
