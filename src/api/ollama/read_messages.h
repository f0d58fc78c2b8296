// Reads messages as Ollama's clients write them. Thread: any.
#pragma once

#include <boost/json/array.hpp>
#include <string_view>
#include <vector>

#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::ollama {

/// Appends the messages of an array. Calls get ids, and results those of the calls that they
/// answer, since some templates insist on them.
void read_messages(FieldReader& reader, std::string_view name, const boost::json::array& array,
                   std::vector<service::Message>& to);

/// Reports a list of images that is not empty.
void refuse_images(FieldReader& reader);

}  // namespace pippin::api::ollama
