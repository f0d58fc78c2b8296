// gguf_form: how GGUF files of a family differ from its folders. Thread: any.
#pragma once

#include "base/result.h"
#include "store/gguf_folder_writer.h"
#include "store/hf_folder.h"

namespace pippin::models {

/// Returns the form of a GGUF file of the folder's model. Errors: kUnsupported, naming the
/// model_type of a family whose folders are not converted.
Result<store::GgufForm> gguf_form(const store::HfFolder& folder);

}  // namespace pippin::models
