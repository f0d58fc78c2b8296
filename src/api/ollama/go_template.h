// go_template: prompts by the simple templates of Modelfiles, which are in Go's template language:
// text with {{ .System }}, {{ .Prompt }} and {{ .Response }}, and {{ if }} .. {{ else }} .. {{ end
// }} around them. Anything else of that language is an error that names it. Thread: any. Source:
// the documentation of Go's text/template, and of Ollama's Modelfile.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::api::ollama {

/// Errors: kUnsupported, naming what in the template is not understood.
Result<void> check_go_template(std::string_view text);

/// Writes a conversation turn by turn: each runs the template with what was said. The last one ends
/// where the template puts the response. Special tokens form in the template's own text only.
/// Errors: as above; kUnsupported for tools, which such a template has no word for.
Result<std::vector<service::Token>> go_template_tokens(const service::Model& model,
                                                       std::string_view text,
                                                       const service::Conversation& conversation);

}  // namespace pippin::api::ollama
