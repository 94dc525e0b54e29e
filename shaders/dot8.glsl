// dot8(a, b): the sum of the products of four signed 8-bit integers, packed in a word each.
#ifndef HN_DOT8_GLSL
#define HN_DOT8_GLSL

#extension GL_EXT_spirv_intrinsics : require

// OpSDotKHR, of which older glslang knows nothing; its last operand 0 is PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4450)
int dot8_packed(int a, int b, spirv_literal int packed);
#define dot8(a, b) dot8_packed(a, b, 0)

#endif
