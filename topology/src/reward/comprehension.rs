//! Comprehensions: `all`, `exists`, `exists_one`, `map` and `filter`, as the parser has expanded them.

use super::RewardError;
use super::expression::Lowering;
use super::tree::{Loop, Node};
use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, operators};

impl<'a> Lowering<'a> {
    pub(super) fn comprehension(&mut self, c: &'a ComprehensionExpr) -> Result<Node, RewardError> {
        if self.is_item(&c.iter_range) {
            return Err(self.error(&c.iter_range, "a walk over `item`", "lists; a field by its name: `item.NAME`"));
        }
        let (over, begin) = (self.node(&c.iter_range)?, self.node(&c.accu_init)?);
        let locals = self.locals.len();
        self.locals.push(&c.accu_var);
        let (goes_on, result) = (self.node(&c.loop_cond)?, self.node(&c.result)?);
        self.locals.push(&c.iter_var);
        let step = self.step(&c.loop_step, &c.accu_var, locals)?;
        self.locals.truncate(locals);
        Ok(Node::Loop(Box::new(Loop { over, begin, goes_on, step, result })))
    }

    /// `@result + [x]`, alone or behind the condition of `filter`, appends in place.
    fn step(&mut self, step: &'a IdedExpr, gathered: &str, place: usize) -> Result<Node, RewardError> {
        let Expr::Call(call) = &step.expr else { return self.node(step) };
        let is_gathered = |of: &IdedExpr| matches!(&of.expr, Expr::Ident(name) if name == gathered);
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::ADD, [left, IdedExpr { expr: Expr::List(list), .. }])
                if is_gathered(left) && list.elements.len() == 1 =>
            {
                let element = self.node(&list.elements[0])?;
                Ok(Node::Append(place, Box::new(element)))
            }
            (operators::CONDITIONAL, [condition, yes, no]) if is_gathered(no) => {
                let condition = self.node(condition)?;
                let yes = self.step(yes, gathered, place)?;
                Ok(Node::Choose(Box::new([condition, yes, Node::Local(place)])))
            }
            _ => self.node(step),
        }
    }
}
