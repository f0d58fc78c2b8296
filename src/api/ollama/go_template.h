// go_template: prompts by the simple templates of Modelfiles, which are in Go's template language:
// text with {{ .System }}, {{ .Prompt }} and {{ .Response }}, and {{ if }} .. {{ else }} .. {{ end
// }} around them. Anything else of that language is an error that names it. Thread: any. Source:
// the documentation of Go's text/template, and of Ollama's Modelfile.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::ollama {

/// Errors: kUnsupported, naming what in the template is not understood.
Result<void> check_go_template(std::string_view text);

/// Writes a conversation turn by turn: each runs the template with what was said. The last one ends
/// where the template puts the response. Errors: as above; kUnsupported for tools, which such a
/// template has no word for; kTooLarge for a text of many times the conversation's size, as of a
/// template that says the prompt again and again.
Result<std::vector<text::Span>> render_go_template(std::string_view text,
                                                   const service::Conversation& conversation);

}  // namespace pippin::api::ollama
