# dstack_embed(<target> <name> <file>): the bytes of a file in the target's read-only data, from the symbol <name> to
# <name>_end:
#   extern "C" const char name[], name_end[];
function(dstack_embed target name file)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.S")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
    .section .rodata.@name@, "a", %progbits
    .balign 16
    .globl @name@
@name@:
    .incbin "@file@"
    .globl @name@_end
@name@_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits
]])
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${file}")
  target_sources(${target} PRIVATE "${source}")
endfunction()
