import { decodedTree } from "../arrays.js";
import { predict, sgd, trace } from "../model.js";
window.fnnet = { decodedTree, predict, sgd, trace };
