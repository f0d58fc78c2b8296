// pippin_render UNIX_TIME: for template_parity.py. Reads length-prefixed texts from standard input:
// a template, the number of contexts, the contexts, and so on with the next template. Writes one
// length-prefixed answer a context:
// "=" and the text, "!" and the message that the template raised, or "?" and another error.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "text/chat_template.h"

namespace {

bool read(std::string& text) {
  std::string header;
  if (!std::getline(std::cin, header)) return false;
  text.assign(std::strtoul(header.c_str(), nullptr, 10), '\0');
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size())).get();
  return true;
}

std::string answer(const pippin::Result<std::string>& rendered) {
  if (rendered.ok()) return "=" + *rendered;
  const bool raised = rendered.error().code == pippin::Code::kInvalidArgument;
  return (raised ? "!" : "?") + rendered.error().message;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t unix_time = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 0;
  for (std::string source, count, context; read(source) && read(count);) {
    const auto compiled = pippin::text::ChatTemplate::compile(source);
    for (int i = std::atoi(count.c_str()); i > 0 && read(context); --i) {
      const std::string text = compiled.ok() ? answer((*compiled)->render(context, unix_time))
                                             : "?" + compiled.error().message;
      std::cout << text.size() << "\n" << text << "\n";
    }
  }
}
